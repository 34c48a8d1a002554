"""Weights of pixels, for the losses that are sums over pixels."""

from __future__ import annotations

import tensorflow as tf

from deeplab.training.losses.boundary import near_boundary
from deeplab.training.losses.pixels import Pixels


def weighted(
    losses: tf.Tensor,
    pixels: Pixels,
    *,
    class_weights: tuple[float, ...] | None,
    boundary_width: int,
    boundary_weight: float,
) -> tf.Tensor:
    """Multiplies the losses of pixels by their weights, and sets those of ignored pixels to 0.

    Args:
        losses: float32 [B,H,W].
        pixels: what they are the losses of.
        class_weights: one per class; None: ones.
        boundary_width: pixels as near as this to another class ...
        boundary_weight: ... weigh 1 + this, see `near_boundary`.
    """
    if class_weights is not None:
        losses *= tf.gather(tf.constant(class_weights, tf.float32), pixels.labels)
    if boundary_weight:
        near = near_boundary(pixels.labels, pixels.valid, boundary_width)
        losses *= 1.0 + boundary_weight * tf.cast(near, tf.float32)
    return tf.where(pixels.valid, losses, 0.0)
