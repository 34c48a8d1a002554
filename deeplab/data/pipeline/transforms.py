"""Augmentation: pure functions of an image, its label and a seed.

What the original does, in its order: random scale, padding at the bottom and right, random crop,
random flip (TF1 deeplab, core/preprocess_utils.py and input_preprocess.py). The functions take
stateless seeds (int32 or int64 [2]): equal seeds give equal results, whatever ran before.

Images are [H, W, C], labels int32 [H, W]. Bilinear and nearest resizing align corners: the source
coordinate is dst * (in - 1) / (out - 1).
"""

from __future__ import annotations

import functools

import tensorflow as tf

from deeplab.data.augment import draw
from deeplab.data.augment.geometry import Distort
from deeplab.data.pipeline.resampling import (
    ReadPart,
    Window,
    image_window,
    label_window,
    whole_window,
)

_DISTORTION = 3  # scale, position and flip have the first three seeds


def random_scale(
    min_scale: float, max_scale: float, scale_step: float, seed: tf.Tensor
) -> tf.Tensor:
    """Draws a scale factor.

    Args:
        min_scale: the least factor, above 0.
        max_scale: the greatest.
        scale_step: distance of the factors, which are equally probable, both ends included where
            the step fits; 0 for a uniform distribution over the whole interval.
        seed: [2].

    Returns:
        float32 scalar.
    """
    if min_scale == max_scale:
        return tf.constant(min_scale, tf.float32)
    if scale_step == 0:
        return draw.uniform(seed, min_scale, max_scale)
    # Like the original: as many factors as steps fit, spread over the interval.
    count = int((max_scale - min_scale) / scale_step + 1)
    factors = tf.linspace(tf.constant(min_scale, tf.float32), max_scale, count)
    return tf.gather(factors, draw.integer(seed, count))


def pad_pair(
    image: tf.Tensor,
    label: tf.Tensor,
    size: tuple[int, int],
    *,
    pad_value: tuple[float, ...],
    ignore_label: int,
    at_left: bool | tf.Tensor = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pads at the bottom and at one side up to at least `size`.

    Args:
        image: float32 [H, W, C].
        label: [H, W] of any integer type.
        size: height and width.
        pad_value: per channel, in the range of the image.
        ignore_label: what the label is padded with.
        at_left: pads at the left, not at the right.

    Returns:
        [max(H, height), max(W, width), C] and [max(H, height), max(W, width)].
    """
    shape = tf.shape(label)
    missing = tf.maximum(tf.constant(size) - shape, 0)
    left = tf.where(at_left, missing[1], 0)
    right = missing[1] - left
    channels = len(pad_value)
    paddings = [[0, missing[0]], [left, right]]
    if len(set(pad_value)) == 1:
        # One pass over the pixels. The operation takes one number for all channels, and copies
        # whole rows of a matrix but single pixels of an image.
        rows = tf.reshape(image, [shape[0], shape[1] * channels])
        side = [left * channels, right * channels]
        rows = tf.pad(rows, [[0, missing[0]], side], constant_values=pad_value[0])
        image = tf.reshape(rows, [shape[0] + missing[0], shape[1] + missing[1], channels])
    else:
        color = tf.constant(pad_value, image.dtype)
        sides = [tf.broadcast_to(color, [shape[0], side, channels]) for side in (left, right)]
        below = tf.broadcast_to(color, [missing[0], shape[1] + missing[1], channels])
        image = tf.concat([sides[0], image, sides[1]], axis=1)
        image = tf.concat([image, below], axis=0)
    return image, tf.pad(label, paddings, constant_values=ignore_label)


def random_window(
    source: tf.Tensor,
    seed: tf.Tensor,
    *,
    crop_size: tuple[int, int],
    scale_range: tuple[float, float],
    scale_step: float,
) -> Window:
    """Draws a scale, and a window of the scaled image; every position is equally probable.

    An axis that is not longer than the crop is left whole, so that cropping before padding gives
    what padding before cropping gives, with less work.

    Args:
        source: int32 [2], height and width of the image.
        seed: [2, 2], for the scale and for the position.
        crop_size: height and width of the window.
        scale_range: the least and the greatest scale factor.
        scale_step: as of `random_scale`.

    Returns:
        The window; the scaled size is int(size * scale), at least one pixel.
    """
    scale = random_scale(*scale_range, scale_step, seed[0])
    size = tf.maximum(tf.cast(tf.cast(source, tf.float32) * scale, tf.int32), 1)
    extent = tf.minimum(tf.constant(crop_size), size)
    seeds = draw.split(seed[1], 2)
    free = size - extent
    begin = tf.stack([draw.integer(seeds[axis], free[axis] + 1) for axis in (0, 1)])
    return Window(source, size, begin, extent)


def augment_pair(
    image: tf.Tensor | ReadPart,
    label: tf.Tensor,
    seed: tf.Tensor,
    *,
    crop_size: tuple[int, int],
    scale_range: tuple[float, float],
    scale_step: float,
    flip_probability: float,
    pad_value: tuple[float, ...],
    ignore_label: int,
    distort: Distort | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Random scale, crop (of what is padded to the crop size) and flip; the label as int32.

    Args:
        image: uint8 or float32 [H, W, C] of 0..255, or what reads a part of such an image.
        label: [H, W] of any integer type.
        seed: [2]; the result depends on nothing else.
        crop_size: height and width.
        scale_range: the least and the greatest scale factor.
        scale_step: as of `random_scale`.
        flip_probability: 0..1.
        pad_value: what the image is padded with, per channel, 0..255.
        ignore_label: what the label is padded with.
        distort: applied to the scaled, cropped and flipped window before it is padded; takes its
            image, label (int32) and a seed [2], and gives image and label of the same shapes.
            None: nothing.

    Returns:
        float32 [crop height, crop width, C] of 0..255 and int32 [crop height, crop width].
    """
    seeds = draw.split(seed, 3)
    window = random_window(
        tf.shape(label),
        seeds[:2],
        crop_size=crop_size,
        scale_range=scale_range,
        scale_step=scale_step,
    )
    read = image if callable(image) else functools.partial(_part, image)
    flipped = draw.uniform(seeds[2], 0.0, 1.0) < flip_probability
    image = image_window(read, window, crop_size=crop_size, flipped=flipped)
    label = label_window(label, window, flipped=flipped)
    if distort is not None:
        distortion_seed = draw.fold_in(seed, _DISTORTION)
        image, label = distort(image, tf.cast(label, tf.int32), distortion_seed)
    # A flipped image is padded at the left: the same as padding before flipping, with less work.
    image, label = pad_pair(
        image, label, crop_size, pad_value=pad_value, ignore_label=ignore_label, at_left=flipped
    )
    image = tf.ensure_shape(image, [*crop_size, len(pad_value)])
    return image, tf.cast(tf.ensure_shape(label, crop_size), tf.int32)


def _part(image: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    return image[begin[0] : end[0], begin[1] : end[1]]


def resize_to_range(
    image: tf.Tensor,
    label: tf.Tensor,
    *,
    min_side: int,
    max_side: int | None = None,
    multiple: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes image (bilinear) and label (nearest) to the size that `size_in_range` gives.

    Args:
        image: uint8 or float32 [H, W, C].
        label: [H, W] of any integer type.
        min_side: see `size_in_range`, as the other two.
        max_side: None: no limit.
        multiple: None: any size.

    Returns:
        float32 [H', W', C] in the same range, and [H', W'] of the label's type.
    """
    size = size_in_range(tf.shape(label), min_side=min_side, max_side=max_side, multiple=multiple)
    image = tf.raw_ops.ResizeBilinear(
        images=tf.cast(image, tf.float32)[None], size=size, align_corners=True
    )[0]
    return image, label_window(label, whole_window(tf.shape(label), size))


def size_in_range(
    size: tf.Tensor, *, min_side: int, max_side: int | None = None, multiple: int | None = None
) -> tf.Tensor:
    """The size of an image after `resize_to_range`; the aspect ratio is kept, but for rounding.

    Args:
        size: int32 [2], height and width.
        min_side: pixels that the shorter side gets.
        max_side: if the longer side would get more pixels than these, it gets these instead.
        multiple: both sides are raised to a multiple of it plus one, for which `max_side` is first
            lowered to such a number.

    Returns:
        int32 [2], at least one pixel. Sides are rounded down in single precision, like the
        original's: where the exact quotient is a whole number, it may become one pixel less.
    """
    sides = tf.cast(size, tf.float32)
    wanted = _floor(sides * (min_side / tf.reduce_min(sides)))
    if max_side is not None:
        if multiple is not None:
            max_side -= (max_side - 1) % multiple
        limited = _floor(sides * (max_side / tf.reduce_max(sides)))
        wanted = tf.where(tf.reduce_max(wanted) > max_side, limited, wanted)
    if multiple is not None:
        wanted += (1 - wanted) % multiple
    return wanted


def _floor(sides: tf.Tensor) -> tf.Tensor:
    return tf.maximum(tf.cast(tf.floor(sides), tf.int32), 1)
