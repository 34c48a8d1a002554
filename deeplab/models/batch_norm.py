"""Batch normalization as the original's: the moving variance averages the unbiased variance."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

# What lower epsilons act as, in the fused operation of the original and so here.
MINIMUM_EPSILON = 1.001e-5


class BatchNormSettings(NamedTuple):
    """Epsilon and momentum (decay) that all batch norms of one part of a network share."""

    epsilon: float
    momentum: float


@keras.saving.register_keras_serializable("deeplab")
class BatchNorm(keras.layers.Layer):
    """Batch normalization over the last axis of [B,H,W,C].

    Normalizes by the biased batch variance and averages the unbiased one, as the fused operation
    of TensorFlow 1 did (slim.batch_norm); Keras' own layer averages the biased one. With more than
    one replica the statistics are those of the whole batch. Variables and statistics are float32,
    whatever the type of the inputs.

    Args:
        epsilon: added to the variance, `MINIMUM_EPSILON` or more.
        momentum: share of the old moving value kept at each training step.

    Attributes:
        frozen: whether training too uses the moving statistics and leaves them as they are; gamma
            and beta still learn.
        synchronized: whether replicas share their statistics in training. If not, each normalizes
            by its own, and the moving statistics average those of all replicas.
    """

    def __init__(self, epsilon: float, momentum: float, **kwargs: Any) -> None:
        """Stores the settings; the variables follow in `build`."""
        super().__init__(**kwargs)
        self.epsilon = max(epsilon, MINIMUM_EPSILON)
        self.momentum = momentum
        self.frozen = False
        self.synchronized = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes gamma, beta, moving_mean and moving_variance, each [C]."""
        # No autocast: in half precision small steps of the statistics would round to nothing.
        # Statistics of replicas that are not synchronized differ; those stored are their mean.
        shape = (input_shape[-1],)
        add = partial(self.add_weight, shape=shape, dtype="float32", autocast=False)
        moving = partial(add, trainable=False, aggregation="mean")
        self.gamma = add(name="gamma", initializer="ones")
        self.beta = add(name="beta", initializer="zeros")
        self.moving_mean = moving(name="moving_mean", initializer="zeros")
        self.moving_variance = moving(name="moving_variance", initializer="ones")

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B,H,W,C] -> [B,H,W,C]; updates the moving statistics when training."""
        if not training or self.frozen:
            return self._fused(inputs, training=False)[0]
        outputs, mean, variance = self._by_batch(inputs)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + (1.0 - self.momentum) * batch)
        return outputs

    def normalize(self, inputs: tf.Tensor) -> tf.Tensor:
        """What `call` gives in training, without an update of the moving statistics."""
        return (self._fused(inputs, training=False) if self.frozen else self._by_batch(inputs))[0]

    def _by_batch(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What the batch is normalized to, its mean and its unbiased variance."""
        replicas = tf.distribute.get_replica_context()
        if self.synchronized and replicas is not None and replicas.num_replicas_in_sync > 1:
            return self._synchronized(inputs, replicas)
        return self._fused(inputs, training=True)

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

    def _synchronized(
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
