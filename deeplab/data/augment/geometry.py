"""Affine transforms of an image and its label, the same of both, and random rotation.

Coordinates are those of pixel centers: x to the right, y downwards, (0, 0) the center of the first
pixel. A transform is given by where an output pixel comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from deeplab.data.augment import draw

# Image float32 [h, w, C] of 0..255, label int32 [h, w], seed [2] -> image and label.
Distort = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

_OUTSIDE = -1  # no label id


class Fill(NamedTuple):
    """What pixels become that a transform brings in from outside of the image.

    Attributes:
        pad_value: of the image, one number of 0..255 per channel.
        ignore_label: of the label.
    """

    pad_value: tuple[float, ...]
    ignore_label: int


def affine_pair(
    image: tf.Tensor,
    label: tf.Tensor,
    *,
    fill: Fill,
    linear: tuple[tuple[float | tf.Tensor, float | tf.Tensor], ...] = ((1.0, 0.0), (0.0, 1.0)),
    shift: tuple[float | tf.Tensor, float | tf.Tensor] = (0.0, 0.0),
) -> tuple[tf.Tensor, tf.Tensor]:
    """Moves image (bilinear) and label (nearest) about the center of the image.

    A pixel is outside for both where the nearest source pixel of the label is; what is inside
    is mixed from pixels of the image only. The identity changes nothing.

    Args:
        image: float32 [H, W, C] of 0..255.
        label: int32 [H, W], no id negative.
        fill: what comes from outside.
        linear: the 2x2 matrix from (x, y) of the output to that of the source, both relative to
            the center.
        shift: what is added to (x, y) of the source, in pixels.

    Returns:
        Both in the same shape.
    """
    size = tf.cast(tf.shape(label), tf.float32)
    center = ((size[1] - 1) / 2, (size[0] - 1) / 2)
    rows = []
    for axis in (0, 1):
        to_x, to_y = linear[axis]
        offset = center[axis] - to_x * center[0] - to_y * center[1] + shift[axis]
        rows += [to_x, to_y, offset]
    transform = tf.stack([tf.cast(value, tf.float32) for value in [*rows, 0.0, 0.0]])[None]

    moved_label = tf.raw_ops.ImageProjectiveTransformV3(
        images=label[None, ..., None],
        transforms=transform,
        output_shape=tf.shape(label),
        fill_value=float(_OUTSIDE),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )[0, ..., 0]
    moved_image = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=transform,
        output_shape=tf.shape(label),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )[0]
    # Weights of pixels may add up to a little more than 1.
    moved_image = tf.clip_by_value(moved_image, 0.0, 255.0)
    outside = tf.equal(moved_label, _OUTSIDE)
    pad = tf.constant(fill.pad_value, image.dtype)
    return (
        tf.where(outside[..., None], pad, moved_image),
        tf.where(outside, fill.ignore_label, moved_label),
    )


def rotate_pair(
    image: tf.Tensor, label: tf.Tensor, degrees: float | tf.Tensor, *, fill: Fill
) -> tuple[tf.Tensor, tf.Tensor]:
    """Turns image and label counter-clockwise about the center; see `affine_pair`."""
    angle = tf.cast(degrees, tf.float32) * (3.141592653589793 / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    return affine_pair(image, label, fill=fill, linear=((cosine, -sine), (sine, cosine)))


def random_rotation(
    image: tf.Tensor,
    label: tf.Tensor,
    seed: tf.Tensor,
    *,
    rotation_degrees: float,
    rotation_probability: float,
    fill: Fill,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Turns image and label about their center, by the same angle.

    Args:
        image: float32 [H, W, C].
        label: int32 [H, W].
        seed: [2].
        rotation_degrees: the angle is uniform in -rotation_degrees..rotation_degrees.
        rotation_probability: 0..1, that anything is turned.
        fill: what comes from outside of the image.

    Returns:
        Both in the same shape.
    """
    happens, angle = draw.split(seed, 2)
    return tf.cond(
        draw.uniform(happens, 0.0, 1.0) < rotation_probability,
        lambda: rotate_pair(
            image, label, draw.uniform(angle, -rotation_degrees, rotation_degrees), fill=fill
        ),
        lambda: (image, label),
    )
