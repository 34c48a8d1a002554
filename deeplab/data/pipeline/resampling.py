"""A window of a resized image, without resizing the whole image.

Resizing by `size` aligns corners: the source coordinate of pixel k is k * (in - 1) / (out - 1).
Random scaling enlarges images and cropping throws most of that away; sampling only what stays
gives the same pixels for a fraction of the work, and says which part of the source is needed.
The coordinates and weights are computed as TensorFlow's kernels compute them (float32), so that
nearest neighbors are the same to the last tie and interpolated values to rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# Gives the pixels of rows begin[0]..end[0]-1 and columns begin[1]..end[1]-1 of an image.
ReadPart = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# TensorFlow's kernel resizes a whole image faster than we sample a window of this share of it.
_WHOLE_IMAGE_COST = 0.75

# The sides of what is sampled are raised to a multiple of it: our kernel is compiled for each size.
_SIZE_STEP = 128


class Window(NamedTuple):
    """A rectangle of an image that is resized.

    Attributes:
        source: int32 [2], height and width of the image.
        size: int32 [2], height and width that it is resized to.
        begin: int32 [2], the first row and column of the window in the resized image.
        extent: int32 [2], height and width of the window.
    """

    source: tf.Tensor
    size: tf.Tensor
    begin: tf.Tensor
    extent: tf.Tensor


def whole_window(source: tf.Tensor, size: tf.Tensor) -> Window:
    """The window that is the whole resized image."""
    return Window(source, size, tf.zeros_like(size), size)


def image_window(
    read: ReadPart,
    window: Window,
    *,
    crop_size: tuple[int, int],
    flipped: bool | tf.Tensor = False,
) -> tf.Tensor:
    """Samples the window of an image bilinearly.

    Args:
        read: gives parts of the image, uint8 or float32 [h, w, C].
        window: what to sample.
        crop_size: the greatest height and width that a window may have.
        flipped: mirrors the window from left to right.

    Returns:
        float32 [extent[0], extent[1], C], in the range of the image.
    """
    area, whole_area = (tf.reduce_prod(tf.cast(x, tf.int64)) for x in (window.extent, window.size))
    whole_is_cheaper = tf.cast(area, tf.float32) > _WHOLE_IMAGE_COST * tf.cast(
        whole_area, tf.float32
    )
    end = window.begin + window.extent

    def copied() -> tf.Tensor:
        return tf.cast(_flip(read(window.begin, end), flipped), tf.float32)

    def cut_from_whole() -> tf.Tensor:
        image = tf.cast(read(tf.zeros_like(window.source), window.source), tf.float32)
        image = tf.raw_ops.ResizeBilinear(images=image[None], size=window.size, align_corners=True)
        return _flip(image[0, window.begin[0] : end[0], window.begin[1] : end[1]], flipped)

    def sampled() -> tf.Tensor:
        # As many as a crop has, so that the kernel is compiled once and not for each window.
        rows = _linear(window, 0, False, crop_size[0])
        columns = _linear(window, 1, flipped, crop_size[1])
        part = read(tf.stack([rows.first, columns.first]), tf.stack([rows.last, columns.last]) + 1)
        image = _bilinear_kernel()(_raised(part), rows, columns)
        return image[: window.extent[0], : window.extent[1]]

    branch = tf.where(
        tf.reduce_all(tf.equal(window.size, window.source)), 0, tf.where(whole_is_cheaper, 1, 2)
    )
    return tf.switch_case(branch, [copied, cut_from_whole, sampled])


def label_window(
    label: tf.Tensor, window: Window, *, flipped: bool | tf.Tensor = False
) -> tf.Tensor:
    """Samples the window of a label by nearest neighbors.

    Args:
        label: [H, W], of the size `window.source`.
        window: what to sample.
        flipped: mirrors the window from left to right.

    Returns:
        [extent[0], extent[1]] of the label's type.
    """

    def copied() -> tf.Tensor:
        end = window.begin + window.extent
        return _flip(label[window.begin[0] : end[0], window.begin[1] : end[1]], flipped)

    def sampled() -> tf.Tensor:
        rows, columns = _nearest(window, 0, False), _nearest(window, 1, flipped)
        # Rows are copied as they lie in memory, columns one by one: turned twice, both are rows.
        columns_first = tf.gather(tf.transpose(label), columns)
        return tf.gather(tf.transpose(columns_first), rows)

    return tf.cond(tf.reduce_all(tf.equal(window.size, window.source)), copied, sampled)


def _flip(pixels: tf.Tensor, flipped: bool | tf.Tensor) -> tf.Tensor:
    """Mirrors [h, w, ...] from left to right if told so."""
    # Not [:, ::-1], which takes ten times as long.
    return tf.cond(tf.cast(flipped, tf.bool), lambda: tf.reverse(pixels, [1]), lambda: pixels)


class _Taps(NamedTuple):
    """Between which two pixels of the source the pixels of a window's axis lie.

    Attributes:
        lower: int32 [n], the source pixel at or before each of them, counted from `first`.
        upper: int32 [n], the one after it, as long as there is one.
        weight: float32 [n] of 0..1, that of the upper one.
        first: the first source pixel that is needed.
        last: the last one.
    """

    lower: tf.Tensor
    upper: tf.Tensor
    weight: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor


def _linear(window: Window, axis: int, reverse: bool | tf.Tensor, count: int) -> _Taps:
    """The first `count` taps; where the window has fewer, its last one is repeated."""
    coordinates = _coordinates(window, axis, reverse)
    numbers = tf.minimum(tf.range(count), window.extent[axis] - 1)
    coordinates = tf.gather(coordinates, numbers)
    below = tf.floor(coordinates)
    end = window.source[axis] - 1
    lower = tf.minimum(tf.cast(below, tf.int32), end)
    upper = tf.minimum(lower + 1, end)
    first, last = tf.reduce_min(lower), tf.reduce_max(upper)
    return _Taps(lower - first, upper - first, coordinates - below, first, last)


def _nearest(window: Window, axis: int, reverse: bool | tf.Tensor) -> tf.Tensor:
    """The source pixel nearest to each of a window's axis, int32 [n]."""
    coordinates = _coordinates(window, axis, reverse)
    below = tf.floor(coordinates)
    # Halves go up, as in C; tf.round takes them to the even number.
    nearest = below + tf.cast(coordinates - below >= 0.5, tf.float32)
    return tf.minimum(tf.cast(nearest, tf.int32), window.source[axis] - 1)


def _coordinates(window: Window, axis: int, reverse: bool | tf.Tensor) -> tf.Tensor:
    numbers = tf.range(window.extent[axis])
    numbers = window.begin[axis] + tf.where(reverse, window.extent[axis] - 1 - numbers, numbers)
    last = tf.cast(window.size[axis] - 1, tf.float32)
    step = tf.cast(window.source[axis] - 1, tf.float32) / tf.maximum(last, 1.0)
    return tf.cast(numbers, tf.float32) * step


def _raised(part: tf.Tensor) -> tf.Tensor:
    """Raises both sides to a multiple of `_SIZE_STEP`, with zeros that no tap looks at."""
    shape = tf.shape(part)
    height, width, channels = shape[0], shape[1], part.shape[-1]
    below, beside = -height % _SIZE_STEP, -width % _SIZE_STEP
    rows = tf.reshape(part, [height, width * channels])  # rows are copied as a whole
    rows = tf.pad(rows, [[0, below], [0, beside * channels]])
    return tf.reshape(rows, [height + below, width + beside, channels])


def _bilinear(part: tf.Tensor, rows: _Taps, columns: _Taps) -> tf.Tensor:
    """Samples [h, w, C] at all pairs of a row and a column, float32 [rows, columns, C]."""
    between_rows = _between(
        tf.cast(tf.gather(part, rows.lower), tf.float32),
        tf.cast(tf.gather(part, rows.upper), tf.float32),
        rows.weight[:, None, None],
    )
    return _between(
        tf.gather(between_rows, columns.lower, axis=1),
        tf.gather(between_rows, columns.upper, axis=1),
        columns.weight[None, :, None],
    )


def _between(lower: tf.Tensor, upper: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    return lower + (upper - lower) * weight


# In one pass over memory, where the operations by themselves would make nine.
_compiled_bilinear = tf.function(_bilinear, jit_compile=True, reduce_retracing=True)


def _bilinear_kernel() -> Callable[..., tf.Tensor]:
    return _compiled_bilinear if can_compile() else _bilinear


@functools.cache
def can_compile() -> bool:
    """Whether this TensorFlow has XLA for the processor, as its released packages do."""
    with tf.init_scope(), tf.device("CPU"):
        try:
            tf.function(tf.identity, jit_compile=True)(tf.zeros([1]))
        except tf.errors.OpError:
            return False
    return True
