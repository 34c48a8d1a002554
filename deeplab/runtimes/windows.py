"""Large images window by window, without seams and without holding all of their probabilities.

The windows lie on a grid: along each side they are spread evenly, the first at one end of the
image and the last at the other, as few as overlap by at least `overlap` pixels. Where windows
overlap, their probabilities are averaged. The weights are the product of one weight per side. Along
a side of a window of n pixels, pixel k weighs min(k + 1, n - k), a hat, divided by the sum of
these over all windows that hold the pixel: they sum to one everywhere, and change linearly from one
window to the next where two of them overlap.

A row of windows is a band. One band of probabilities is held at a time; its upper part, which the
next row of windows does not reach, is finished and given away.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from deeplab.errors import DeepLabError
from deeplab.runtimes.predictor import Predictor, Probabilities
from deeplab.runtimes.runtime import ClassIds

# First row and number of rows -> these rows of the images, [B, rows, W, channels].
ReadRows = Callable[[int, int], np.ndarray]

_DEFAULT_OVERLAP = 4  # a quarter of the window


@dataclasses.dataclass(frozen=True)
class Windows:
    """How images are cut.

    Attributes:
        size: height and width of a window in pixels. A side of an image that is shorter is one
            window of its own length.
        overlap: of neighbors, at least, in pixels: vertically and horizontally.
    """

    size: tuple[int, int]
    overlap: tuple[int, int] = (0, 0)

    def cover(self, height: int, width: int) -> bool:
        """Whether one window is the whole image."""
        return height <= self.size[0] and width <= self.size[1]


def make_windows(
    window: tuple[int, int] | None,
    overlap: tuple[int, int] | None,
    *,
    output_stride: int | None,
) -> Windows | None:
    """Windows from what was asked for.

    Args:
        window: height and width; None: images are seen whole.
        overlap: of neighbors; None: a quarter of the window.
        output_stride: of the network, None if it is not known: no window is smaller.

    Raises:
        DeepLabError: if the numbers do not fit each other or the network.
    """
    if window is None:
        if overlap is not None:
            raise DeepLabError(f"overlap {_text(overlap)} needs a window")
        return None
    smallest = output_stride or 1
    if min(window) < smallest:
        raise DeepLabError(
            f"window {_text(window)} is smaller than the network's output stride of {smallest} "
            "pixels"
        )
    if overlap is None:
        overlap = window[0] // _DEFAULT_OVERLAP, window[1] // _DEFAULT_OVERLAP
    if min(overlap) < 0 or overlap[0] >= window[0] or overlap[1] >= window[1]:
        raise DeepLabError(
            f"overlap {_text(overlap)} must be at least 0 and smaller than the window "
            f"{_text(window)}"
        )
    return Windows(window, overlap)


def windowed(predictor: Predictor, windows: Windows) -> Predictor:
    """Makes a network see images window by window; one that a window covers is seen whole.

    Raises:
        DeepLabError: if the windows are larger than the network takes.
    """
    check_windows(predictor, windows)

    def rows_of(images: np.ndarray) -> tuple[ReadRows, int, int]:
        height, width = images.shape[1:3]
        return lambda top, rows: images[:, top : top + rows], height, width

    def labels(images: np.ndarray) -> ClassIds:
        images = np.asarray(images)
        return np.concatenate(list(label_bands(predictor, *rows_of(images), windows)), axis=1)

    def probabilities(images: np.ndarray) -> Probabilities:
        images = np.asarray(images)
        if windows.cover(*images.shape[1:3]):
            return predictor.probabilities(images)
        bands = probability_bands(predictor, *rows_of(images), windows)
        # A band is overwritten by the next one.
        return np.concatenate([band.copy() for band in bands], axis=1)

    return predictor._replace(labels=labels, probabilities=probabilities)


def check_windows(predictor: Predictor, windows: Windows) -> None:
    """Raises a DeepLabError if the windows are larger than the network takes."""
    fixed = predictor.fixed_size
    if fixed is not None and not Windows(fixed).cover(*windows.size):
        raise DeepLabError(
            f"window {_text(windows.size)} is larger than the network takes: {_text(fixed)}"
        )


def label_bands(
    predictor: Predictor, read: ReadRows, height: int, width: int, windows: Windows
) -> Iterator[ClassIds]:
    """Class ids of images that are read by bands, from top to bottom.

    Args:
        predictor: the network.
        read: gives rows of the images; it is asked for each band once, from top to bottom.
        height: of the images.
        width: of the images.
        windows: how they are cut.

    Returns:
        int32 [B, rows, width], as many rows in all as the images have.
    """
    if windows.cover(height, width):
        # As where images are seen whole, ties and all.
        yield predictor.labels(read(0, height))
        return
    for band in probability_bands(predictor, read, height, width, windows):
        yield np.argmax(band, axis=-1).astype(np.int32)


def probability_bands(
    predictor: Predictor, read: ReadRows, height: int, width: int, windows: Windows
) -> Iterator[Probabilities]:
    """Class probabilities of images that are read by bands.

    Arguments are those of `label_bands`.

    Returns:
        float32 [B, rows, width, C], each one overwritten by the next.
    """
    rows = _spread(height, windows.size[0], windows.overlap[0])
    columns = _spread(width, windows.size[1], windows.overlap[1])
    tops = [top for top, _ in rows]
    band: Probabilities | None = None
    for (top, row_share), next_top in zip(rows, [*tops[1:], height], strict=True):
        images = read(top, len(row_share))
        for left, column_share in columns:
            right = left + len(column_share)
            part = predictor.probabilities(np.ascontiguousarray(images[:, :, left:right]))
            if band is None:
                band = np.zeros((*images.shape[:3], part.shape[-1]), np.float32)
            band[:, :, left:right] += part * np.outer(row_share, column_share)[..., np.newaxis]
        assert band is not None
        finished = next_top - top
        yield band[:, :finished]
        _move_up(band, finished)


def _spread(length: int, window: int, overlap: int) -> list[tuple[int, npt.NDArray[np.float32]]]:
    """The first pixels of the windows along a side, and the weights of their pixels."""
    if length <= window:
        return [(0, np.ones(length, np.float32))]
    count = 1 + math.ceil((length - window) / (window - overlap))
    starts = np.rint(np.linspace(0, length - window, count)).astype(int).tolist()
    pixels = np.arange(window)
    hat = np.minimum(pixels + 1, window - pixels)
    total = np.zeros(length)
    for start in starts:
        total[start : start + window] += hat
    return [(start, (hat / total[start : start + window]).astype(np.float32)) for start in starts]


def _move_up(band: Probabilities, rows: int) -> None:
    """Moves what is below the first rows to the top, and clears the rest."""
    height = band.shape[1]
    # In steps that do not overlap: numpy would make a copy of the whole.
    for row in range(rows, height, rows):
        end = min(row + rows, height)
        band[:, row - rows : end - rows] = band[:, row:end]
    band[:, height - rows :] = 0


def _text(size: tuple[int, int]) -> str:
    return "x".join(map(str, size))
