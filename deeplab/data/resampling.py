"""A window of a resized image, without resizing the whole image.

Resizing by `size` aligns corners: the source coordinate of pixel k is k * (in - 1) / (out - 1).
Random scaling enlarges images and cropping throws most of that away; sampling only what stays
gives the same pixels for a fraction of the work, and says which part of the source is needed.
The coordinates and weights are computed as TensorFlow's kernels compute them (float32), so that
nearest neighbours are the same to the last tie and interpolated values to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# Gives the pixels of rows begin[0]..end[0]-1 and columns begin[1]..end[1]-1 of an image.
ReadPart = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# TensorFlow's kernel resizes a whole image faster than we sample a window of this share of it.
_WHOLE_IMAGE_COST = 0.4


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


def image_window(read: ReadPart, window: Window) -> tf.Tensor:
    """Samples the window of an image bilinearly.

    Args:
        read: gives parts of the image, uint8 or float32 [h, w, C].
        window: what to sample.

    Returns:
        float32 [extent[0], extent[1], C], in the range of the image.
    """
    area, whole_area = (tf.reduce_prod(tf.cast(x, tf.int64)) for x in (window.extent, window.size))
    whole_is_cheaper = tf.cast(area, tf.float32) > _WHOLE_IMAGE_COST * tf.cast(
        whole_area, tf.float32
    )
    end = window.begin + window.extent

    def copied() -> tf.Tensor:
        return tf.cast(read(window.begin, end), tf.float32)

    def cut_from_whole() -> tf.Tensor:
        image = tf.cast(read(tf.zeros_like(window.source), window.source), tf.float32)
        image = tf.raw_ops.ResizeBilinear(images=image[None], size=window.size, align_corners=True)
        return image[0, window.begin[0] : end[0], window.begin[1] : end[1]]

    def sampled() -> tf.Tensor:
        rows, columns = (_Taps.linear(window, axis) for axis in (0, 1))
        part = read(tf.stack([rows.first, columns.first]), tf.stack([rows.last, columns.last]) + 1)
        # Rows are copied as they lie in memory, columns one by one: turned twice, both are rows.
        image = _interpolated(tf.transpose(tf.cast(part, tf.float32), [1, 0, 2]), columns)
        return _interpolated(tf.transpose(image, [1, 0, 2]), rows)

    branch = tf.where(
        tf.reduce_all(tf.equal(window.size, window.source)), 0, tf.where(whole_is_cheaper, 1, 2)
    )
    return tf.switch_case(branch, [copied, cut_from_whole, sampled])


def label_window(label: tf.Tensor, window: Window) -> tf.Tensor:
    """Samples the window of a label by nearest neighbours.

    Args:
        label: [H, W], of the size `window.source`.
        window: what to sample.

    Returns:
        [extent[0], extent[1]] of the label's type.
    """

    def copied() -> tf.Tensor:
        end = window.begin + window.extent
        return label[window.begin[0] : end[0], window.begin[1] : end[1]]

    def sampled() -> tf.Tensor:
        rows, columns = (_Taps.nearest(window, axis) for axis in (0, 1))
        part = label[rows.first : rows.last + 1, columns.first : columns.last + 1]
        part = tf.gather(tf.transpose(part), columns.lower - columns.first)
        return tf.gather(tf.transpose(part), rows.lower - rows.first)

    return tf.cond(tf.reduce_all(tf.equal(window.size, window.source)), copied, sampled)


class _Taps(NamedTuple):
    """Where the pixels of a window's axis lie in the source.

    Attributes:
        lower: int32 [n], the source pixel at or before each of them, or the nearest one.
        weight: float32 [n] of 0..1, that of the pixel after it.
        first: the first source pixel that is needed.
        last: the last one.
    """

    lower: tf.Tensor
    weight: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor

    @classmethod
    def linear(cls, window: Window, axis: int) -> _Taps:
        coordinates = _coordinates(window, axis)
        below = tf.floor(coordinates)
        end = window.source[axis] - 1
        lower = tf.minimum(tf.cast(below, tf.int32), end)
        return cls(lower, coordinates - below, lower[0], tf.minimum(lower[-1] + 1, end))

    @classmethod
    def nearest(cls, window: Window, axis: int) -> _Taps:
        coordinates = _coordinates(window, axis)
        below = tf.floor(coordinates)
        # Halves go up, as in C; tf.round takes them to the even number.
        nearest = below + tf.cast(coordinates - below >= 0.5, tf.float32)
        nearest = tf.minimum(tf.cast(nearest, tf.int32), window.source[axis] - 1)
        return cls(nearest, tf.zeros_like(below), nearest[0], nearest[-1])


def _coordinates(window: Window, axis: int) -> tf.Tensor:
    numbers = tf.range(window.begin[axis], window.begin[axis] + window.extent[axis])
    last = tf.cast(window.size[axis] - 1, tf.float32)
    step = tf.cast(window.source[axis] - 1, tf.float32) / tf.maximum(last, 1.0)
    return tf.cast(numbers, tf.float32) * step


def _interpolated(pixels: tf.Tensor, taps: _Taps) -> tf.Tensor:
    """Samples the first axis of [n, m, C]."""
    differences = tf.pad(pixels[1:] - pixels[:-1], [[0, 1], [0, 0], [0, 0]])
    indices = taps.lower - taps.first
    weight = taps.weight[:, None, None]
    return tf.gather(pixels, indices) + tf.gather(differences, indices) * weight
