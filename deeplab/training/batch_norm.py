"""Batch norm of weights that came without its statistics, or whose statistics must not move."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf

from deeplab.models import BatchNorm, DeepLabModel

_NUM_BATCHES = 16


def batch_norms(model: DeepLabModel) -> list[BatchNorm]:
    """All batch norms of a model."""
    return [layer for layer in model.layers if isinstance(layer, BatchNorm)]


def folded_batch_norms(model: DeepLabModel) -> list[BatchNorm]:
    """Those that came without statistics: mean 0 and variance 1, but not the gamma of fresh ones.

    A backbone from such a file may have a fresh head, which trains as usual.
    """
    return [
        layer
        for layer in batch_norms(model)
        if not np.any(layer.moving_mean.numpy())
        and np.all(layer.moving_variance.numpy() == 1)
        and np.any(layer.gamma.numpy() != 1)
    ]


def freeze(layers: Iterable[BatchNorm]) -> None:
    """Makes training use the moving statistics and leave them as they are."""
    for layer in layers:
        layer.frozen = True


def measure_statistics(model: DeepLabModel, batches: Iterable[Mapping[str, tf.Tensor]]) -> int:
    """Gives folded batch norms the statistics of their inputs and leaves the function as it is.

    A folded batch norm is the affine map gamma' x + beta'. With the measured mean m and variance v
    as moving statistics, gamma = gamma' sqrt(v + epsilon) and beta = beta' + gamma' m make the same
    map, and training by batch statistics then starts where the weights left off.

    Args:
        model: in inference it does the same before and after.
        batches: of "image" float32 [B,H,W,3]; the first sixteen are used.

    Returns:
        How many images were used.
    """
    layers = folded_batch_norms(model)
    inputs = keras.Model(model.input, [layer.input for layer in layers])

    @tf.function(reduce_retracing=True)
    def moments(images: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        values = (tf.cast(x, tf.float64) for x in inputs(images, training=False))
        return [
            (tf.reduce_mean(x, axis=(0, 1, 2)), tf.reduce_mean(tf.square(x), axis=(0, 1, 2)))
            for x in values
        ]

    sums = [(0.0, 0.0)] * len(layers)
    count = used = 0
    for batch in itertools.islice(batches, _NUM_BATCHES):
        found = moments(batch["image"])
        sums = [(a + mean, b + square) for (a, b), (mean, square) in zip(sums, found, strict=True)]
        count += int(batch["image"].shape[0])
        used += 1
    for layer, (total, squares) in zip(layers, sums, strict=True):
        mean, square = total / used, squares / used
        _move(layer, tf.cast(mean, tf.float32), tf.cast(square - mean**2, tf.float32))
    return count


def _move(layer: BatchNorm, mean: tf.Tensor, variance: tf.Tensor) -> None:
    """Sets the statistics, and gamma and beta so that the layer does what it did."""
    slope = layer.gamma / tf.sqrt(layer.moving_variance + layer.epsilon)
    constant = layer.beta - slope * layer.moving_mean
    variance = tf.maximum(variance, 0.0)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    layer.gamma.assign(slope * tf.sqrt(variance + layer.epsilon))
    layer.beta.assign(constant + slope * mean)
