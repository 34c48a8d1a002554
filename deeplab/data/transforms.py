"""Augmentation: pure functions of an image, its label and a seed.

What the original does, in its order: random scale, padding at the bottom and right, random crop,
random flip (TF1 deeplab, core/preprocess_utils.py and input_preprocess.py). The functions take
stateless seeds (int32 or int64 [2]): equal seeds give equal results, whatever ran before.

Images are [H, W, 3], labels int32 [H, W]. Bilinear and nearest resizing align corners: the source
coordinate is dst * (in - 1) / (out - 1).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# Named, because the default may differ between devices.
_ALGORITHM = "philox"


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
        return _uniform(seed, min_scale, max_scale)
    # Like the original: as many factors as steps fit, spread over the interval.
    count = int((max_scale - min_scale) / scale_step + 1)
    factors = tf.linspace(tf.constant(min_scale, tf.float32), max_scale, count)
    return tf.gather(factors, _integer(seed, count))


def scale_pair(image: tf.Tensor, label: tf.Tensor, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes image (bilinear) and label (nearest) to int(size * scale), at least one pixel.

    Args:
        image: uint8 or float32 [H, W, 3].
        label: int32 [H, W].
        scale: float32 scalar above 0; at exactly 1 nothing is changed.

    Returns:
        float32 [H', W', 3] in the same range, int32 [H', W'].
    """
    image = tf.cast(image, tf.float32)

    def resize() -> tuple[tf.Tensor, tf.Tensor]:
        size = tf.cast(tf.cast(tf.shape(label), tf.float32) * scale, tf.int32)
        return resize_pair(image, label, tf.maximum(size, 1))

    return tf.cond(tf.equal(scale, 1.0), lambda: (image, label), resize)


def resize_pair(image: tf.Tensor, label: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes image (bilinear) and label (nearest) to `size`, int32 [2] of height and width."""
    image = tf.raw_ops.ResizeBilinear(images=image[None], size=size, align_corners=True)[0]
    label = tf.raw_ops.ResizeNearestNeighbor(
        images=label[None, ..., None], size=size, align_corners=True
    )[0, ..., 0]
    return image, label


def pad_pair(
    image: tf.Tensor,
    label: tf.Tensor,
    size: tuple[int, int],
    *,
    pad_value: tuple[float, ...],
    ignore_label: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pads at the bottom and right up to at least `size`.

    Args:
        image: float32 [H, W, 3].
        label: int32 [H, W].
        size: height and width.
        pad_value: per channel, in the range of the image.
        ignore_label: what the label is padded with.

    Returns:
        [max(H, height), max(W, width), 3] and [max(H, height), max(W, width)].
    """
    shape = tf.shape(label)
    missing = tf.maximum(tf.constant(size) - shape, 0)
    right = tf.broadcast_to(
        tf.constant(pad_value, image.dtype), tf.stack([shape[0], missing[1], 3])
    )
    image = tf.concat([image, right], axis=1)
    below = tf.broadcast_to(
        tf.constant(pad_value, image.dtype), tf.stack([missing[0], shape[1] + missing[1], 3])
    )
    image = tf.concat([image, below], axis=0)
    paddings = tf.stack([tf.zeros_like(missing), missing], axis=1)
    return image, tf.pad(label, paddings, constant_values=ignore_label)


def random_crop(
    image: tf.Tensor, label: tf.Tensor, size: tuple[int, int], seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Crops a random window, the same of image and label; every position is equally probable.

    Args:
        image: [H, W, 3].
        label: [H, W].
        size: height and width of the window. An axis that is not longer than it is left whole, so
            that cropping before padding gives what padding before cropping gives, with less work.
        seed: [2].

    Returns:
        [min(H, height), min(W, width), 3] and [min(H, height), min(W, width)].
    """
    shape = tf.shape(label)
    window = tf.minimum(tf.constant(size), shape)
    seeds = tf.random.experimental.stateless_split(seed, 2)
    begin = tf.stack([_integer(seeds[axis], shape[axis] - window[axis] + 1) for axis in (0, 1)])
    end = begin + window
    return (
        image[begin[0] : end[0], begin[1] : end[1]],
        label[begin[0] : end[0], begin[1] : end[1]],
    )


def random_flip(
    image: tf.Tensor, label: tf.Tensor, probability: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirrors image and label from left to right with a probability of 0..1."""
    return tf.cond(
        _uniform(seed, 0.0, 1.0) < probability,
        # Not [:, ::-1], which takes ten times as long.
        lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])),
        lambda: (image, label),
    )


def augment_pair(
    image: tf.Tensor,
    label: tf.Tensor,
    seed: tf.Tensor,
    *,
    crop_size: tuple[int, int],
    scale_range: tuple[float, float],
    scale_step: float,
    flip_probability: float,
    pad_value: tuple[float, ...],
    ignore_label: int,
    distort: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Random scale, crop (of what is padded to the crop size) and flip.

    Args:
        image: uint8 or float32 [H, W, 3].
        label: int32 [H, W].
        seed: [2]; the result depends on nothing else.
        crop_size: height and width.
        scale_range: the least and the greatest scale factor.
        scale_step: as of `random_scale`.
        flip_probability: 0..1.
        pad_value: what the image is padded with, per channel, 0..255.
        ignore_label: what the label is padded with.
        distort: (image float32 [H, W, 3] of 0..255, label, seed [2]) -> the two in the same shapes;
            it is applied to the window before padding. None: nothing.

    Returns:
        float32 [crop height, crop width, 3] of 0..255 and int32 [crop height, crop width].
    """
    seeds = tf.random.experimental.stateless_split(seed, 4)
    scale = random_scale(*scale_range, scale_step, seeds[0])
    image, label = scale_pair(image, label, scale)
    image, label = random_crop(image, label, crop_size, seeds[1])
    if distort is not None:
        image, label = distort(image, label, seeds[3])
    image, label = pad_pair(image, label, crop_size, pad_value=pad_value, ignore_label=ignore_label)
    image, label = random_flip(image, label, flip_probability, seeds[2])
    return tf.ensure_shape(image, [*crop_size, 3]), tf.ensure_shape(label, crop_size)


def _uniform(seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return tf.random.stateless_uniform([], seed, low, high, alg=_ALGORITHM)


def _integer(seed: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """An integer of 0..count-1, equally probable."""
    return tf.random.stateless_uniform([], seed, 0, count, dtype=tf.int32, alg=_ALGORITHM)
