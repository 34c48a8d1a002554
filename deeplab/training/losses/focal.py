"""Focal loss (Lin et al., arXiv 1708.02002)."""

from __future__ import annotations

import tensorflow as tf

from deeplab.training.losses.pixels import Pixels, count, share_of_mean
from deeplab.training.losses.weights import weighted

DEFAULT_GAMMA = 2.0  # section 3.2: best in their experiments
# The slope of x^gamma is infinite at 0 for gamma below 1.
_LOWEST_ERROR = 1e-7


def focal(
    pixels: Pixels,
    *,
    class_weights: tuple[float, ...] | None,
    boundary_width: int,
    boundary_weight: float,
    focal_gamma: float | None,
) -> tf.Tensor:
    """Sum of weight * -(1 - p)^gamma * log(p) over the valid pixels, over their number.

    p is the probability of the pixel's class. The class weights are the paper's alpha (section
    3.1). The divisor is the number of valid pixels of the global batch: the paper's, the number of
    anchors with an object, has no counterpart where every pixel has a class.
    """
    gamma = DEFAULT_GAMMA if focal_gamma is None else focal_gamma
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(pixels.labels, pixels.logits)
    # 1 - p, without the cancellation where p is nearly 1.
    error = tf.maximum(-tf.math.expm1(-cross_entropy), _LOWEST_ERROR)
    losses = weighted(
        error**gamma * cross_entropy,
        pixels,
        class_weights=class_weights,
        boundary_width=boundary_width,
        boundary_weight=boundary_weight,
    )
    return share_of_mean(tf.reduce_sum(losses), count(pixels.valid))
