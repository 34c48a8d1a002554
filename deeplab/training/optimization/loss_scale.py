"""Loss scaling, which keeps small gradients above the smallest float16 (arXiv 1710.03740).

The loss is multiplied by a factor before gradients are computed, and they are divided by it. While
all gradients are finite the factor grows; a step whose gradients are not is skipped and halves it.
"""

from __future__ import annotations

import tensorflow as tf

_FIRST, _SMALLEST, _LARGEST = 2.0**15, 1.0, 2.0**24
_STEPS_TO_DOUBLE = 2_000


class LossScale:
    """The factor and how it moves. Make it in the strategy's scope.

    Attributes:
        value: the factor, float32 scalar.
        skipped_steps: how many steps have been skipped so far, int64 scalar.
    """

    def __init__(self) -> None:
        """Starts at 2^15."""
        self.value = _scalar(_FIRST, tf.float32)
        self.skipped_steps = _scalar(0, tf.int64)
        self._good_steps = _scalar(0, tf.int64)

    def variables_by_path(self) -> dict[str, tf.Variable]:
        """All state, for checkpoints."""
        return {
            "value": self.value,
            "skipped_steps": self.skipped_steps,
            "good_steps": self._good_steps,
        }

    def update(self, overflow: tf.Tensor) -> tf.Tensor:
        """Takes notice of a step; in replica context, with the same value everywhere.

        Args:
            overflow: whether a gradient of the step is not finite, bool scalar.

        Returns:
            Whether it is and a smaller factor may help, bool scalar.
        """
        value, good_steps = self.value.read_value(), self._good_steps + 1
        double = good_steps >= _STEPS_TO_DOUBLE
        grown = tf.where(double, tf.minimum(2.0 * value, _LARGEST), value)
        self._good_steps.assign(tf.where(overflow | double, tf.zeros_like(good_steps), good_steps))
        self.value.assign(tf.where(overflow, tf.maximum(0.5 * value, _SMALLEST), grown))
        self.skipped_steps.assign_add(tf.cast(overflow, tf.int64))
        return overflow & (value > _SMALLEST)


def _scalar(value: float, dtype: tf.DType) -> tf.Variable:
    return tf.Variable(
        value,
        dtype=dtype,
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
