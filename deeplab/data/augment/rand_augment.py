"""RandAugment: a few operations, drawn from a table, all of one magnitude.

Cubuk et al., arXiv 1909.13719. The operations and their ranges are those of its table of 14, made
to move labels with the image. A magnitude is a number of 0..10; at 0 every operation that has a
strength changes nothing.

Images are float32 [H, W, C] of 0..255, labels int32 [H, W]. What moves no pixels changes the first
three channels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from deeplab.data.augment import draw
from deeplab.data.augment.geometry import Fill, affine_pair, rotate_pair
from deeplab.data.augment.photometric import clip, of_colors

MAX_MAGNITUDE = 10.0

_MAX_DEGREES = 30.0
_MAX_SHEAR = 0.3
_MAX_TRANSLATION = 0.45  # of the side
_MAX_BLEND = 0.9  # factors of 0.1..1.9
_MAX_LOST_BITS = 4.0
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601

Pair = tuple[tf.Tensor, tf.Tensor]


class Operation(NamedTuple):
    """A row of the table.

    Attributes:
        apply: (image, label, strength, fill) -> (image, label). The strength is magnitude / 10; of
            a signed operation, that or its negative.
        signed: whether it has two directions.
        moves: whether it moves pixels, so that the label changes too.
        has_strength: whether the magnitude makes a difference.
    """

    apply: Callable[[tf.Tensor, tf.Tensor, tf.Tensor, Fill], Pair]
    signed: bool = False
    moves: bool = False
    has_strength: bool = True


def rand_augment(
    image: tf.Tensor,
    label: tf.Tensor,
    seed: tf.Tensor,
    *,
    rand_augment_count: int,
    rand_augment_magnitude: float,
    rand_augment_operations: Sequence[str] | None,
    fill: Fill,
) -> Pair:
    """Applies operations one after the other, each drawn from all of them.

    Args:
        image: float32 [H, W, C] of 0..255.
        label: int32 [H, W].
        seed: [2].
        rand_augment_count: how many; the paper's N.
        rand_augment_magnitude: 0..10; the paper's M.
        rand_augment_operations: names of `OPERATIONS` to draw from; None: all.
        fill: what comes from outside of the image.

    Returns:
        Both in the same shape.
    """
    names = rand_augment_operations or tuple(OPERATIONS)
    for number in range(rand_augment_count):
        which, sign = draw.split(draw.fold_in(seed, number), 2)
        image, label = tf.switch_case(
            draw.integer(which, len(names)),
            [_branch(name, image, label, rand_augment_magnitude, sign, fill) for name in names],
        )
    return image, label


def apply_operation(
    name: str, image: tf.Tensor, label: tf.Tensor, magnitude: float, seed: tf.Tensor, fill: Fill
) -> Pair:
    """Applies one operation of the table, into a direction that the seed [2] decides about."""
    row = OPERATIONS[name]
    strength = tf.constant(magnitude / MAX_MAGNITUDE, tf.float32)
    if row.signed:
        strength = tf.where(draw.uniform(seed, 0.0, 1.0) < 0.5, strength, -strength)
    moved, moved_label = row.apply(image, label, strength, fill)
    return tf.ensure_shape(moved, image.shape), tf.ensure_shape(moved_label, label.shape)


def _branch(
    name: str, image: tf.Tensor, label: tf.Tensor, magnitude: float, seed: tf.Tensor, fill: Fill
) -> Callable[[], Pair]:
    return lambda: apply_operation(name, image, label, magnitude, seed, fill)


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to 0..255; one of a single value stays."""
    low = tf.reduce_min(image, axis=[0, 1])
    high = tf.reduce_max(image, axis=[0, 1])
    stretches = high > low
    scale = tf.where(stretches, tf.math.divide_no_nan(255.0, high - low), 1.0)
    return clip((image - tf.where(stretches, low, 0.0)) * scale)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Spreads the values of each channel evenly over 0..255, as Pillow does.

    A value (rounded to a whole number) becomes the share of the pixels that are darker. A channel
    stays as it is if too few of its pixels differ for 255 steps.
    """
    bins = tf.cast(tf.round(image), tf.int32)  # [H, W, C]
    channels = image.shape[-1]
    flat = tf.reshape(bins, [-1, channels])
    counts = tf.stack(
        [tf.math.bincount(flat[:, c], minlength=256, maxlength=256) for c in range(channels)]
    )  # [C, 256]
    pixels = tf.shape(flat)[0]
    last = tf.reduce_max(bins, axis=[0, 1])  # the greatest value that occurs, [C]
    step = (pixels - tf.gather(counts, last, batch_dims=1)) // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((below + step[:, None] // 2) // tf.maximum(step[:, None], 1), 255)
    spread = tf.stack([tf.gather(table[c], bins[..., c]) for c in range(channels)], axis=-1)
    return tf.where(step > 0, tf.cast(spread, image.dtype), image)


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keeps the upper `bits` of the 8 bits of every value; 8 keep the value as it is."""
    step = tf.pow(2.0, 8 - bits)
    return tf.where(bits < 8, tf.floor(image / step) * step, image)


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts the values that are at least `threshold`."""
    return tf.where(image >= threshold, 255.0 - image, image)


def blend(other: tf.Tensor, image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Between `other` (factor 0) and the image (exactly, at 1), or beyond the image."""
    return clip(image + (factor - 1) * (image - other))


def smoothed(image: tf.Tensor) -> tf.Tensor:
    """Each pixel averaged with its eight neighbors, itself five times; the border stays."""
    mean = tf.nn.avg_pool2d(image[None], 3, 1, "SAME")[0]
    smooth = (9 * mean + 4 * image) / 13
    height, width = tf.unstack(tf.shape(image)[:2])
    rows, columns = tf.range(height), tf.range(width)
    inner = ((rows > 0) & (rows < height - 1))[:, None] & (columns > 0) & (columns < width - 1)
    return tf.where(inner[..., None], smooth, image)


def gray(image: tf.Tensor) -> tf.Tensor:
    """The luminance of RGB, or the mean of any other channels, [H, W, 1]."""
    if image.shape[-1] == len(_LUMINANCE):
        return tf.reduce_sum(image * _LUMINANCE, axis=-1, keepdims=True)
    return tf.reduce_mean(image, axis=-1, keepdims=True)


def _of_image(
    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor, Fill], Pair]:
    """Leaves the label as it is, and all channels but the first three."""
    return lambda image, label, strength, fill: (
        of_colors(lambda colors: change(colors, strength), image),
        label,
    )


def _factor(strength: tf.Tensor) -> tf.Tensor:
    return 1 + _MAX_BLEND * strength


def _shear_x(image: tf.Tensor, label: tf.Tensor, strength: tf.Tensor, fill: Fill) -> Pair:
    linear = ((1.0, _MAX_SHEAR * strength), (0.0, 1.0))
    return affine_pair(image, label, fill=fill, linear=linear)


def _shear_y(image: tf.Tensor, label: tf.Tensor, strength: tf.Tensor, fill: Fill) -> Pair:
    linear = ((1.0, 0.0), (_MAX_SHEAR * strength, 1.0))
    return affine_pair(image, label, fill=fill, linear=linear)


def _translate_x(image: tf.Tensor, label: tf.Tensor, strength: tf.Tensor, fill: Fill) -> Pair:
    width = tf.cast(tf.shape(label)[1], tf.float32)
    return affine_pair(image, label, fill=fill, shift=(_MAX_TRANSLATION * strength * width, 0.0))


def _translate_y(image: tf.Tensor, label: tf.Tensor, strength: tf.Tensor, fill: Fill) -> Pair:
    height = tf.cast(tf.shape(label)[0], tf.float32)
    return affine_pair(image, label, fill=fill, shift=(0.0, _MAX_TRANSLATION * strength * height))


def _rotate(image: tf.Tensor, label: tf.Tensor, strength: tf.Tensor, fill: Fill) -> Pair:
    return rotate_pair(image, label, _MAX_DEGREES * strength, fill=fill)


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(_of_image(lambda image, _: image), has_strength=False),
    "autocontrast": Operation(_of_image(lambda image, _: autocontrast(image)), has_strength=False),
    "equalize": Operation(_of_image(lambda image, _: equalize(image)), has_strength=False),
    "solarize": Operation(_of_image(lambda image, s: solarize(image, 256 * (1 - s)))),
    "posterize": Operation(
        _of_image(lambda image, s: posterize(image, 8 - tf.round(_MAX_LOST_BITS * s)))
    ),
    "color": Operation(
        _of_image(lambda image, s: blend(gray(image), image, _factor(s))), signed=True
    ),
    "contrast": Operation(
        _of_image(lambda image, s: blend(tf.reduce_mean(gray(image)), image, _factor(s))),
        signed=True,
    ),
    "brightness": Operation(
        _of_image(lambda image, s: blend(tf.zeros([]), image, _factor(s))), signed=True
    ),
    "sharpness": Operation(
        _of_image(lambda image, s: blend(smoothed(image), image, _factor(s))), signed=True
    ),
    "rotate": Operation(_rotate, signed=True, moves=True),
    "shear_x": Operation(_shear_x, signed=True, moves=True),
    "shear_y": Operation(_shear_y, signed=True, moves=True),
    "translate_x": Operation(_translate_x, signed=True, moves=True),
    "translate_y": Operation(_translate_y, signed=True, moves=True),
}
