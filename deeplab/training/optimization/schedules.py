"""Learning rates as functions of the step.

Source: `get_model_learning_rate` in the original's utils/train_utils.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from deeplab.training.config import ScheduleConfig

Schedule = Callable[[tf.Tensor], tf.Tensor]


def make_schedule(
    config: ScheduleConfig, *, base_learning_rate: float, train_steps: int
) -> Schedule:
    """Warm-up, then the schedule proper, which does not count the steps of the warm-up.

    Returns:
        A function of the step, counted from 0, to a float32 scalar.
    """
    falling = FALLING[config.kind]
    decay_steps = config.resolved_decay_steps(train_steps)
    warmup, start = config.warmup_steps, config.warmup_start_learning_rate
    rise = base_learning_rate - start if config.warmup_kind == "linear" else 0.0

    def learning_rate(step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        progress = tf.maximum(step - warmup, 0.0) / decay_steps
        after = falling(config, base_learning_rate, progress)
        return tf.where(step < warmup, start + rise * step / max(warmup, 1), after)

    return learning_rate


def _poly(config: ScheduleConfig, base: float, progress: tf.Tensor) -> tf.Tensor:
    end = config.end_learning_rate
    return (base - end) * (1.0 - tf.minimum(progress, 1.0)) ** config.power + end


def _cosine(config: ScheduleConfig, base: float, progress: tf.Tensor) -> tf.Tensor:
    end = config.end_learning_rate
    left = 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(progress, 1.0)))
    return (base - end) * left + end


def _step(config: ScheduleConfig, base: float, progress: tf.Tensor) -> tf.Tensor:
    return base * tf.pow(config.decay_factor, tf.floor(progress))


# Each: (settings, base learning rate, steps after the warm-up / decay_steps) -> learning rate.
FALLING: dict[str, Callable[[ScheduleConfig, float, tf.Tensor], tf.Tensor]] = {
    "poly": _poly,
    "cosine": _cosine,
    "step": _step,
}


def is_zero(config: ScheduleConfig, *, base_learning_rate: float) -> bool:
    """Whether the learning rate is 0 at every step."""
    warmup = config.warmup_start_learning_rate if config.warmup_steps else 0.0
    return base_learning_rate == config.end_learning_rate == warmup == 0
