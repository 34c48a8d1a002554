"""A trace of a few steps, for TensorBoard's profile page."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from deeplab.training.run import Run
from deeplab.training.step import StepResult

_Step = Callable[[Any], StepResult]


@contextlib.contextmanager
def profiled(train_step: _Step, run: Run) -> Iterator[_Step]:
    """The training step, which is traced from the first to the last of `profile_steps`.

    The trace lies in model_dir/train/plugins/profile; leaving the context ends one that is under
    way. Without `profile_steps` it is the step itself.
    """
    if run.config.profile_steps is None or not run.is_chief:
        yield train_step
        return
    first, last = run.config.profile_steps
    tracing = False

    def traced(batch: Any) -> StepResult:
        nonlocal tracing
        step = run.step + 1
        if step == first:
            tf.profiler.experimental.start(str(run.model_dir / "train"))
            tracing = True
        if not tracing:
            return train_step(batch)
        with tf.profiler.experimental.Trace("train", step_num=step, _r=1):
            result = train_step(batch)
        if step == last:
            # The device may still compute.
            float(result.loss)
            tf.profiler.experimental.stop()
            tracing = False
        return result

    try:
        yield traced
    finally:
        if tracing:
            tf.profiler.experimental.stop()
