"""Several steps in one call: the device goes on while Python does not look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from deeplab.training.config import TrainConfig
from deeplab.training.step import StepResult

_TPU_STEPS = 100


def steps_per_loop(config: TrainConfig, strategy: tf.distribute.Strategy) -> int:
    """How many steps a call makes at most."""
    if config.steps_per_loop is not None:
        return config.steps_per_loop
    return _TPU_STEPS if isinstance(strategy, tf.distribute.TPUStrategy) else 1


def loops_on_device(config: TrainConfig, strategy: tf.distribute.Strategy) -> bool:
    """Whether steps are made in such a loop; a TPU knows no other way that is fast."""
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    return is_tpu or steps_per_loop(config, strategy) > 1


def steps_to_next_stop(step: int, config: TrainConfig) -> int:
    """How many steps are left until something has to be done between steps.

    Args:
        step: steps done.
        config: when checkpoints and evaluations are due, and the end.
    """
    stops = [config.train_steps - step]
    for every in (config.checkpoint_steps, config.eval_steps):
        if every:
            stops.append(every - step % every)
    if config.profile_steps is not None:
        first, last = config.profile_steps
        stops += [stop - step for stop in (first - 1, last) if stop > step]
    return min(stops)


def make_step_loop(
    train_step: Callable[[Any], StepResult], strategy: tf.distribute.Strategy
) -> Callable[[Iterator[Any], int], tuple[StepResult, tf.Tensor]]:
    """Compiles a loop around a step.

    Args:
        train_step: as `make_train_step` returns it.
        strategy: how batches are spread.

    Returns:
        A function of an iterator over (distributed) batches and a number of steps n. It gives the
        results of the steps, each value float32 [n], and the names of this worker's images, string
        [n, B]. The names stay on the host: a TPU has no strings.
    """

    @tf.function
    def loop(iterator: Iterator[Any], steps: tf.Tensor) -> tuple[StepResult, tf.Tensor]:
        values = [tf.TensorArray(tf.float32, size=steps) for _ in StepResult._fields]
        ids = tf.TensorArray(tf.string, size=steps)
        for index in tf.range(steps):
            batch = dict(next(iterator))
            names = strategy.experimental_local_results(batch.pop("id"))
            ids = ids.write(index, tf.concat(names, axis=0))
            result = train_step(batch)
            values = [
                array.write(index, tf.cast(value, tf.float32))
                for array, value in zip(values, result, strict=True)
            ]
        return StepResult(*(array.stack() for array in values)), ids.stack()

    def run_loop(iterator: Iterator[Any], steps: int) -> tuple[StepResult, tf.Tensor]:
        # A tensor: a number would compile the loop anew for every length.
        return loop(iterator, tf.constant(steps))

    return run_loop
