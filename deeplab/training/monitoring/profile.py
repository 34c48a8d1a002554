"""A trace of a few steps, for TensorBoard's profile page."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from deeplab.training.run import Run

_Steps = Callable[[int], int]


@contextlib.contextmanager
def profiled(make_steps: _Steps, run: Run, finish: Callable[[], object]) -> Iterator[_Steps]:
    """The making of steps, which is traced from the first to the last of `profile_steps`.

    The trace lies in model_dir/train/plugins/profile; leaving the context ends one that is under
    way. Without `profile_steps` nothing is changed.

    Args:
        make_steps: steps done -> steps done after the next ones.
        run: says which steps, and where the trace goes.
        finish: waits for the device, which may still compute what is to be in the trace.
    """
    if run.config.profile_steps is None or not run.is_chief:
        yield make_steps
        return
    first, last = run.config.profile_steps
    tracing = False

    def traced(step: int) -> int:
        nonlocal tracing
        if not tracing and step < last and step + 1 >= first:
            tf.profiler.experimental.start(str(run.model_dir / "train"))
            tracing = True
        if not tracing:
            return make_steps(step)
        with tf.profiler.experimental.Trace("train", step_num=step + 1, _r=1):
            done = make_steps(step)
        if done >= last:
            finish()
            tf.profiler.experimental.stop()
            tracing = False
        return done

    try:
        yield traced
    finally:
        if tracing:
            tf.profiler.experimental.stop()
