"""Images that are seen window by window."""

from __future__ import annotations

import numpy as np
import pytest

from deeplab.errors import DeepLabError
from deeplab.runtimes.predictor import Predictor
from deeplab.runtimes.windows import Windows, label_bands, make_windows, windowed


def softmax(images: np.ndarray) -> np.ndarray:
    exponents = np.exp(images.astype(np.float32) / 50)
    return exponents / exponents.sum(-1, keepdims=True)


# It sees each pixel alone, so that windows change nothing.
LOCAL = Predictor(lambda images: images.argmax(-1).astype(np.int32), softmax)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 37, 53, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "overlap"),
    [
        ((16, 16), (0, 0)),
        ((16, 12), (3, 7)),
        ((16, 16), (15, 13)),  # more than two windows over a pixel
        ((8, 100), (2, 0)),  # as wide as the image
        ((36, 52), (1, 1)),
        ((1, 1), (0, 0)),
    ],
)
def test_the_weights_sum_to_one(size: tuple[int, int], overlap: tuple[int, int]) -> None:
    seen = windowed(LOCAL, Windows(size, overlap))
    np.testing.assert_allclose(seen.probabilities(IMAGES), softmax(IMAGES), rtol=1e-5)
    assert np.array_equal(seen.labels(IMAGES), LOCAL.labels(IMAGES))


def test_weights_by_hand() -> None:
    # Each window answers with a number of its own: 0 on the left, 1 on the right.
    answers = iter((0.0, 1.0))
    constant = Predictor(LOCAL.labels, lambda images: np.full((1, 4, 6, 1), next(answers)))
    seen = windowed(constant, Windows((4, 6), (2, 3)))
    found = seen.probabilities(np.zeros((1, 4, 9, 3)))
    # Hats 1 2 3 3 2 1 at 0 and at 3: linear over the three pixels that both hold.
    assert found[0, 0, :, 0] == pytest.approx([0, 0, 0, 1 / 4, 2 / 4, 3 / 4, 1, 1, 1])
    assert (found == found[:, :1]).all()


@pytest.mark.parametrize("overlap", [(0, 0), (5, 8), (20, 29)])
def test_windows_have_one_size_and_overlap_enough(overlap: tuple[int, int]) -> None:
    places = []

    def probabilities(images: np.ndarray) -> np.ndarray:
        # Images that hold the coordinates of their pixels.
        places.append((*images[0, 0, 0], *images[0, -1, -1]))
        return images.astype(np.float32)

    images = np.stack(np.mgrid[:97, :113], axis=-1)[np.newaxis]
    found = windowed(Predictor(LOCAL.labels, probabilities), Windows((23, 31), overlap))
    np.testing.assert_allclose(found.probabilities(images), images, atol=1e-4)
    corners = np.array(places)
    assert (corners[:, 2:] - corners[:, :2] == (22, 30)).all()
    for axis, last in ((0, 96), (1, 112)):
        first, end = np.unique(corners[:, axis]), np.unique(corners[:, axis + 2])
        assert first[0] == 0 and end[-1] == last
        assert (end[:-1] + 1 - first[1:] >= overlap[axis]).all()


def test_bands_are_read_once_and_never_held_together() -> None:
    reads, held = [], []

    def read(top: int, rows: int) -> np.ndarray:
        reads.append((top, rows))
        return IMAGES[:, top : top + rows]

    height, width = IMAGES.shape[1:3]
    bands = label_bands(LOCAL, read, height, width, Windows((10, 10), (4, 4)))
    for band in bands:
        held.append(band)
        assert band.shape[1] <= 10
    assert np.array_equal(np.concatenate(held, axis=1), LOCAL.labels(IMAGES))
    assert [rows for _, rows in reads] == [10] * len(reads) and len(reads) == len(held) == 6


def test_one_window_is_the_whole_image_to_the_last_bit() -> None:
    calls = []

    def labels(images: np.ndarray) -> np.ndarray:
        calls.append(images.shape)
        return LOCAL.labels(images)

    seen = windowed(Predictor(labels, softmax), Windows((37, 99), (1, 98)))
    assert np.array_equal(seen.labels(IMAGES), LOCAL.labels(IMAGES))
    assert calls == [IMAGES.shape]
    assert np.array_equal(seen.probabilities(IMAGES), softmax(IMAGES))


@pytest.mark.parametrize(
    ("window", "overlap", "message"),
    [
        ((15, 64), None, "window 15x64 is smaller than the network's output stride of 16 pixels"),
        ((32, 64), (32, 0), "overlap 32x0 must be at least 0 and smaller than the window 32x64"),
        ((32, 64), (0, -1), "overlap 0x-1 must be"),
        (None, (8, 8), "overlap 8x8 needs a window"),
    ],
)
def test_windows_that_cannot_be(
    window: tuple[int, int] | None, overlap: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(DeepLabError, match=message):
        make_windows(window, overlap, output_stride=16)


def test_what_is_not_given() -> None:
    assert make_windows(None, None, output_stride=16) is None
    assert make_windows((63, 100), None, output_stride=None) == Windows((63, 100), (15, 25))


def test_a_network_of_one_size_takes_no_larger_windows() -> None:
    fixed = LOCAL._replace(fixed_size=(20, 30))
    windowed(fixed, Windows((20, 30), (0, 0)))
    with pytest.raises(DeepLabError, match="window 20x31 is larger than the network takes: 20x30"):
        windowed(fixed, Windows((20, 31), (0, 0)))
