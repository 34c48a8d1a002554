"""Softmax cross entropy, the loss of the original."""

from __future__ import annotations

import tensorflow as tf

from deeplab.training.losses.hard_pixels import share_of_hardest
from deeplab.training.losses.pixels import Pixels, count, share_of_mean
from deeplab.training.losses.weights import weighted


def softmax_cross_entropy(
    pixels: Pixels,
    *,
    class_weights: tuple[float, ...] | None,
    boundary_width: int,
    boundary_weight: float,
    label_smoothing: float,
    hard_pixel_fraction: float,
    hard_pixel_ramp_steps: int,
) -> tf.Tensor:
    """Sum of weight * cross entropy over the valid pixels, over their number.

    The divisor is the number of valid pixels of the global batch, not the sum of their weights.
    With a `hard_pixel_fraction` below 1 only the pixels of the largest weighted losses count, see
    `share_of_hardest`.

    `label_smoothing` e takes (1 - e) * onehot + e / C as the target of a valid pixel (Szegedy et
    al., arXiv 1512.00567, section 7).

    Source: `add_softmax_cross_entropy_loss_for_each_scale` of the original's utils/train_utils.py.
    """
    losses = weighted(
        _cross_entropy(pixels, label_smoothing),
        pixels,
        class_weights=class_weights,
        boundary_width=boundary_width,
        boundary_weight=boundary_weight,
    )
    if hard_pixel_fraction < 1:
        return share_of_hardest(
            losses,
            fraction=hard_pixel_fraction,
            ramp_steps=hard_pixel_ramp_steps,
            step=pixels.step,
        )
    return share_of_mean(tf.reduce_sum(losses), count(pixels.valid))


def _cross_entropy(pixels: Pixels, label_smoothing: float) -> tf.Tensor:
    """float32 [B,H,W]."""
    if not label_smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(pixels.labels, pixels.logits)
    num_classes = pixels.logits.shape[-1]
    rest = label_smoothing / num_classes
    target = tf.one_hot(pixels.labels, num_classes, 1 - label_smoothing + rest, rest)
    return tf.nn.softmax_cross_entropy_with_logits(target, pixels.logits)
