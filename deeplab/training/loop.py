"""The loop: batches in, steps, checkpoints and evaluations."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab.errors import DeepLabError, Terminated
from deeplab.model_dir import CHECKPOINT_FOLDER, list_checkpoints, save_checkpoint
from deeplab.models import variables_by_path
from deeplab.progress import Progress, track
from deeplab.training.device_loop import (
    loops_on_device,
    make_step_loop,
    steps_per_loop,
    steps_to_next_stop,
)
from deeplab.training.jit_compile import compilation_explained
from deeplab.training.monitoring.collapse import TrainingImages
from deeplab.training.monitoring.first_batch import report_first_batch
from deeplab.training.monitoring.input_wait import InputWait
from deeplab.training.monitoring.memory_advice import training_explained
from deeplab.training.monitoring.profile import profiled
from deeplab.training.monitoring.run_log import RunLog
from deeplab.training.monitoring.start_clock import StartClock
from deeplab.training.monitoring.watch import Watch
from deeplab.training.run import Run
from deeplab.training.step import StepResult
from deeplab.training.validation import Validation, is_evaluation_missing


def training_batches(run: Run) -> Iterator[Any]:
    """The (distributed) batches from the present step on.

    Raises:
        DeepLabError: as `TrainingStream.batches`.
    """
    # The names of the images cannot go to a TPU.
    options = tf.distribute.InputOptions(
        experimental_fetch_to_device=not isinstance(run.strategy, tf.distribute.TPUStrategy)
    )
    # Each worker is its own input pipeline, and has its own stream.
    return iter(
        run.strategy.distribute_datasets_from_function(
            lambda context: run.stream.batches(run.step), options
        )
    )


def run_loop(run: Run, batches: Iterator[Any], clock: StartClock) -> None:
    """Trains from the present step, where the batches begin, to the last one.

    After the first step it prints where the time of `clock` went.

    Ctrl-C and SIGTERM save a checkpoint before they go on their way; with several workers all of
    them stop at the same step.

    Raises:
        DeepLabError: when the loss is no longer finite; the message names step and images. When the
            memory does not suffice, with what to change.
    """
    config = run.config
    with (
        training_explained(run),
        compilation_explained(config),
        RunLog(run.model_dir, step=run.step, writes=run.is_chief) as log,
        track("training", config.train_steps, start=run.step) as progress,
    ):
        validation = Validation(run, log) if config.eval_steps else None
        wait = None if loops_on_device(config, run.strategy) else InputWait(batches)
        watch = Watch(run, log, wait)
        if wait is None:
            steps = _steps_on_device(run, log, watch, batches, progress)
        else:
            steps = _single_steps(run, log, watch, wait, progress)
        start = step = run.step
        try:
            with run.workers.signals_noted(), profiled(steps, run, watch.check) as make_steps:
                if validation and is_evaluation_missing(config, run.model_dir, step):
                    validation.evaluate(step, progress)
                    _stop_if_told(run, step)
                while step < config.train_steps:
                    _stop_if_told(run, step)
                    made_before, step = step, make_steps(step)
                    if made_before == start:
                        clock.lap("tracing and the first step")
                        progress.message(clock.line())
                    if step % config.checkpoint_steps == 0 or step == config.train_steps:
                        watch.check()
                        _save(run, log)
                    if validation and (step % config.eval_steps == 0 or step == config.train_steps):
                        watch.check()
                        validation.evaluate(step, progress)
                        watch.restart_clock()
                        # It may have been cut short.
                        _stop_if_told(run, step)
        except (KeyboardInterrupt, Terminated):
            watch.check()
            if not _is_saved(run):
                _check_weights(run)
                _save(run, log)
            progress.message(f"stopped at step {run.step}; the same command resumes")
            run.workers.finish()
            raise


def _single_steps(
    run: Run, log: RunLog, watch: Watch, batches: InputWait[Any], progress: Progress
) -> Callable[[int], int]:
    """Steps done -> steps done after the next one."""
    train_step = run.train_step(run.dataset.ignore_label)
    training_images = TrainingImages(run)

    def make_step(step: int) -> int:
        batch = next(batches)
        if step == 0 and run.is_chief:
            report_first_batch(run, log, batch, progress)
        watch.add(step + 1, train_step(batch), batch, progress)
        training_images.look(step + 1, batch)
        return step + 1

    return make_step


def _steps_on_device(
    run: Run, log: RunLog, watch: Watch, batches: Iterator[Any], progress: Progress
) -> Callable[[int], int]:
    """Steps done -> steps done after the next few."""
    if run.step == 0:
        # The loop takes its batches where Python does not see them. Workers fetch them together.
        first = next(batches)
        if run.is_chief:
            report_first_batch(run, log, first, progress)
        batches = training_batches(run)
    step_loop = make_step_loop(run.train_step(run.dataset.ignore_label), run.strategy)
    longest = steps_per_loop(run.config, run.strategy)

    def make_steps(step: int) -> int:
        count = min(longest, steps_to_next_stop(step, run.config))
        start = time.perf_counter()
        results, ids = step_loop(batches, count)
        float(results.loss[-1])  # waits for the device
        watch.set_pace(count / (time.perf_counter() - start))
        for index in range(count):
            result = StepResult(*(values[index] for values in results))
            watch.add(step + index + 1, result, {"id": ids[index]}, progress)
        return step + count

    return make_steps


def _check_weights(run: Run) -> None:
    """Refuses to save weights that are not finite: an interrupted step has shown no loss.

    Raises:
        DeepLabError: if some are not.
    """
    for path, variable in variables_by_path(run.model).items():
        if not np.isfinite(variable.numpy()).all():
            raise DeepLabError(
                f"interrupted at step {run.step}, which is not saved: {path} is no longer finite"
            )


def _stop_if_told(run: Run, step: int) -> None:
    number = run.workers.agree_to_stop(step)
    if number is not None:
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _save(run: Run, log: RunLog) -> None:
    if run.is_chief:
        save_checkpoint(
            run.model_dir / CHECKPOINT_FOLDER,
            run.step,
            run.checkpoint_groups(),
            keep=run.config.keep_checkpoints,
        )
    log.flush()


def _is_saved(run: Run) -> bool:
    found = list_checkpoints(run.model_dir / CHECKPOINT_FOLDER)
    return bool(found) and found[-1].step == run.step
