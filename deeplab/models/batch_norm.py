"""Batch normalisation as the original's: the moving variance averages the unbiased variance."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf


class BatchNormSettings(NamedTuple):
    """Epsilon and momentum (decay) that all batch norms of one part of a network share."""

    epsilon: float
    momentum: float


class BatchNorm(keras.layers.Layer):
    """Batch normalisation over the last axis of [B,H,W,C].

    Normalises by the biased batch variance and averages the unbiased one, as the fused operation
    of TensorFlow 1 did (slim.batch_norm); Keras' own layer averages the biased one. With more than
    one replica the statistics are those of the whole batch.

    Args:
        epsilon: added to the variance. Values below 1.001e-5 act as 1.001e-5, in the fused
            operation of the original and so here.
        momentum: share of the old moving value kept at each training step.

    Attributes:
        frozen: whether training too uses the moving statistics and leaves them as they are; gamma
            and beta still learn.
    """

    def __init__(self, epsilon: float, momentum: float, **kwargs: Any) -> None:
        """Stores the settings; the variables follow in `build`."""
        super().__init__(**kwargs)
        self.epsilon = max(epsilon, 1.001e-5)
        self.momentum = momentum
        self.frozen = False

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes gamma, beta, moving_mean and moving_variance, each [C]."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")
        # Statistics that replicas compute are equal when synchronised; the mean keeps the variable
        # readable on every replica either way.
        self.moving_mean = self.add_weight(
            name="moving_mean",
            shape=shape,
            initializer="zeros",
            trainable=False,
            aggregation="mean",
        )
        self.moving_variance = self.add_weight(
            name="moving_variance",
            shape=shape,
            initializer="ones",
            trainable=False,
            aggregation="mean",
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B,H,W,C] -> [B,H,W,C]; updates the moving statistics when training."""
        if not training or self.frozen:
            return self._fused(inputs, training=False)[0]
        replicas = tf.distribute.get_replica_context()
        if replicas is not None and replicas.num_replicas_in_sync > 1:
            outputs, mean, variance = self._synchronised(inputs, replicas)
        else:
            outputs, mean, variance = self._fused(inputs, training=True)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + (1.0 - self.momentum) * batch)
        return outputs

    def _fused(
        self, inputs: tf.Tensor, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # In training the third value is the unbiased variance; the operation guards n - 1 = 0.
        return tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            None if training else tf.convert_to_tensor(self.moving_mean),
            None if training else tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=training,
        )

    def _synchronised(
        self, inputs: tf.Tensor, replicas: tf.distribute.ReplicaContext
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        x = tf.cast(inputs, tf.float32)
        count = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
        count, total = replicas.all_reduce("SUM", [count, tf.reduce_sum(x, axis=(0, 1, 2))])
        mean = total / count
        # Two passes: a sum of squares would cancel where the mean is large against the spread.
        squares = replicas.all_reduce("SUM", tf.reduce_sum((x - mean) ** 2, axis=(0, 1, 2)))
        variance = squares / count
        outputs = tf.nn.batch_normalization(x, mean, variance, self.beta, self.gamma, self.epsilon)
        return tf.cast(outputs, inputs.dtype), mean, squares / tf.maximum(count - 1.0, 1.0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Same as the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Settings, for Keras."""
        return {**super().get_config(), "epsilon": self.epsilon, "momentum": self.momentum}
