"""Learning rates as functions of the step."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from deeplab.training.config import ScheduleConfig


def poly(
    config: ScheduleConfig, *, base_learning_rate: float, train_steps: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Linear warm-up, then (base - end) * (1 - t / T)^power + end.

    t counts the steps after the warm-up and T is their number, as in `get_model_learning_rate` of
    the original's utils/train_utils.py.

    Returns:
        A function of the step, counted from 0, to a float32 scalar.
    """
    base, end = base_learning_rate, config.end_learning_rate
    warmup, start = config.warmup_steps, config.warmup_start_learning_rate
    poly_steps = max(train_steps - warmup, 1)

    def learning_rate(step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        left = 1.0 - tf.clip_by_value((step - warmup) / poly_steps, 0.0, 1.0)
        falling = (base - end) * left**config.power + end
        rising = start + (base - start) * step / max(warmup, 1)
        return tf.where(step < warmup, rising, falling)

    return learning_rate


SCHEDULES = {"poly": poly}
