"""Photometric distortion: brightness, contrast, saturation and hue, of the image alone.

The form that SSD (Liu et al., arXiv 1512.02325; its data layer) introduced and segmentation took
over: each of the four happens with a probability of its own, and contrast comes before or after
the two color changes.

Images are float32 [H, W, C] of 0..255, and so are the results. Of an image with more than three
channels the first ones are the colors, and the others, of whose meaning nothing is known, stay.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from deeplab.data.augment.draw import ALGORITHM
from deeplab.errors import DeepLabError

_COLORS = 3


def adjust_brightness(image: tf.Tensor, delta: float | tf.Tensor) -> tf.Tensor:
    """Adds `delta`, -255..255, to every value."""
    return clip(image + delta)


def adjust_contrast(image: tf.Tensor, factor: float | tf.Tensor) -> tf.Tensor:
    """Multiplies every value by `factor`, 0 or more."""
    return clip(image * factor)


def adjust_saturation(image: tf.Tensor, factor: float | tf.Tensor) -> tf.Tensor:
    """Multiplies the saturation (of HSV) by `factor`, 0 (gray) or more; RGB only."""
    require_rgb(image, "saturation")
    return clip(tf.raw_ops.AdjustSaturation(images=image, scale=factor))


def adjust_hue(image: tf.Tensor, degrees: float | tf.Tensor) -> tf.Tensor:
    """Turns the hue (of HSV) by -360..360 degrees, from red towards green; RGB only."""
    require_rgb(image, "hue")
    return clip(tf.raw_ops.AdjustHue(images=image, delta=degrees / 360))


def photometric(
    image: tf.Tensor,
    label: tf.Tensor,
    seed: tf.Tensor,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    photometric_probability: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Changes brightness, contrast, saturation and hue by random amounts.

    Args:
        image: float32 [H, W, C] of 0..255; saturation and hue need at least three channels.
        label: [H, W]; it is returned as it is.
        seed: [2].
        brightness: what is added is uniform in -brightness..brightness.
        contrast: the factor is uniform in 1-contrast..1+contrast.
        saturation: likewise.
        hue: the turn in degrees is uniform in -hue..hue.
        photometric_probability: 0..1, of each of the four.

    Raises:
        DeepLabError: for fewer than three channels, unless saturation and hue are 0.
    """
    draws = tf.unstack(tf.random.stateless_uniform([9], seed, alg=ALGORITHM))
    amounts = [2 * draw - 1 for draw in draws[:4]]  # -1..1
    happens = [draw < photometric_probability for draw in draws[4:8]]
    contrast_first = draws[8] < 0.5

    def change_contrast(now: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        factor = 1 + contrast * amounts[1]
        return tf.cond(happens[1] & now, lambda: adjust_contrast(image, factor), lambda: image)

    def change(image: tf.Tensor) -> tf.Tensor:
        image = tf.cond(
            happens[0], lambda: adjust_brightness(image, brightness * amounts[0]), lambda: image
        )
        image = change_contrast(contrast_first, image)
        if saturation:
            factor = 1 + saturation * amounts[2]
            before = image
            image = tf.cond(happens[2], lambda: adjust_saturation(before, factor), lambda: before)
        if hue:
            saturated = image
            image = tf.cond(
                happens[3], lambda: adjust_hue(saturated, hue * amounts[3]), lambda: saturated
            )
        return change_contrast(~contrast_first, image)

    return of_colors(change, image), label


def of_colors(change: Callable[[tf.Tensor], tf.Tensor], image: tf.Tensor) -> tf.Tensor:
    """Applies a change to the first three channels; the others stay."""
    if image.shape[-1] <= _COLORS:
        return change(image)
    return tf.concat([change(image[..., :_COLORS]), image[..., _COLORS:]], axis=-1)


def clip(image: tf.Tensor) -> tf.Tensor:
    """Keeps the values within 0..255."""
    return tf.clip_by_value(image, 0.0, 255.0)


def require_rgb(image: tf.Tensor, what: str) -> None:
    """Refuses images without three channels, where color has no meaning.

    Raises:
        DeepLabError: if the image has another number of channels.
    """
    if image.shape[-1] != _COLORS:
        raise DeepLabError(
            f"{what} can be changed in RGB images only, not in images of {image.shape[-1]} "
            "channels; leave it out of AugmentConfig"
        )
