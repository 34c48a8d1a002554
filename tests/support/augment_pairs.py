"""Images and labels for tests of augmentation, and what holds for every result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from hypothesis import strategies as st

from deeplab.data.augment.geometry import Fill

IGNORE = 255
FILL = Fill((77.0, 78.0, 79.0), IGNORE)
# One color per class id; none is the pad value's.
COLORS = np.array([(0, 40, 90), (200, 30, 10), (120, 250, 130), (255, 255, 60)], np.float32)
_BLOCK = 14

Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Change = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

seeds = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))


def compiled(change: Change) -> Change:
    """As it runs in an input pipeline: in a graph, with sizes that are not known there."""
    return tf.function(
        change,
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.float32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([2], tf.int64),
        ],
    )


def changed(
    change: Change, image: Pixels, label: Labels, seed: tuple[int, int]
) -> tuple[Pixels, Labels]:
    """Image and label after a change, with what holds for every change checked."""
    results = []
    for _ in range(2):
        new_image, new_label = change(
            tf.constant(image), tf.constant(label), tf.constant(seed, tf.int64)
        )
        results.append((new_image.numpy(), new_label.numpy()))
    (new_image, new_label), again = results
    np.testing.assert_array_equal(new_image, again[0])
    np.testing.assert_array_equal(new_label, again[1])
    assert new_image.shape == image.shape and new_image.dtype == np.float32
    assert new_label.shape == label.shape and new_label.dtype == np.int32
    assert np.isfinite(new_image).all()
    assert new_image.min() >= 0 and new_image.max() <= 255
    assert set(new_label.ravel()) <= {*label.ravel(), IGNORE}
    return new_image, new_label


def random_pair(height: int, width: int, seed: int) -> tuple[Pixels, Labels]:
    """Noise, whole numbers, with random labels of which some are ignored."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.float32)
    return image, rng.choice(np.array([0, 3, 7, IGNORE], np.int32), (height, width))


def colored_blocks(seed: int, rows: int = 4, columns: int = 5) -> tuple[Pixels, Labels]:
    """A label of blocks and its image: every pixel has the color of its class."""
    blocks = np.random.default_rng(seed).integers(0, len(COLORS), (rows, columns))
    label = blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1).astype(np.int32)
    return COLORS[label], label


def interior(label: Labels, margin: int) -> npt.NDArray[np.bool_]:
    """Where the label is the same for `margin` pixels around, and nothing is ignored."""
    size = 2 * margin + 1
    windows = np.lib.stride_tricks.sliding_window_view(label, (size, size))
    same = (windows == label[margin:-margin, margin:-margin, None, None]).all(axis=(2, 3))
    inside = np.zeros(label.shape, np.bool_)
    inside[margin:-margin, margin:-margin] = same
    return inside & (label != IGNORE)


HOSTILE: dict[str, tuple[Pixels, Labels]] = {
    "one pixel": random_pair(1, 1, 0),
    "one row": random_pair(1, 9, 1),
    "two columns": random_pair(7, 2, 2),
    "all ignored": (random_pair(12, 10, 3)[0], np.full((12, 10), IGNORE, np.int32)),
    "one color": (np.full((20, 30, 3), 123.15, np.float32), np.zeros((20, 30), np.int32)),
    "black": (np.zeros((20, 30, 3), np.float32), np.ones((20, 30), np.int32)),
    "white": (np.full((20, 30, 3), 255, np.float32), np.ones((20, 30), np.int32)),
    "fractions": (
        np.linspace(0, 255, 480, dtype=np.float32).reshape(16, 10, 3),
        np.arange(160, dtype=np.int32).reshape(16, 10) % 4,
    ),
}
