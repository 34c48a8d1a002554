"""The loop: batches in, steps, checkpoints and evaluations."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from deeplab.data import training_batches
from deeplab.errors import Terminated
from deeplab.progress import Progress, track
from deeplab.run_folder import CHECKPOINT_FOLDER, list_checkpoints, save_checkpoint
from deeplab.training.device_loop import make_step_loop, steps_per_loop, steps_to_next_stop
from deeplab.training.optimizers import loss_weight_decay
from deeplab.training.run import Run
from deeplab.training.run_log import RunLog
from deeplab.training.step import StepResult, make_train_step
from deeplab.training.validation import Validation
from deeplab.training.watch import Watch


def run_loop(run: Run) -> None:
    """Trains from the present step to the last one.

    Ctrl-C and SIGTERM save a checkpoint before they go on their way; with several workers all of
    them stop at the same step.

    Raises:
        DeepLabError: when the loss is no longer finite; the message names step and images.
    """
    config = run.config
    log = RunLog(run.model_dir, step=run.step, writes=run.is_chief)
    validation = Validation(run, log) if config.eval_steps else None
    watch = Watch(run, log)
    make_steps = _stepper(run, watch)
    step = run.step
    try:
        with (
            run.workers.signals_noted(),
            track("training", config.train_steps, start=step) as progress,
        ):
            while step < config.train_steps:
                _stop_if_told(run, step)
                step = make_steps(step, progress)
                if step % config.checkpoint_steps == 0 or step == config.train_steps:
                    watch.check()
                    _save(run, log)
                if validation and (step % config.eval_steps == 0 or step == config.train_steps):
                    watch.check()
                    validation.evaluate(step, progress)
                    watch.restart_clock()
    except (KeyboardInterrupt, Terminated):
        watch.check()
        if not _is_saved(run):
            _save(run, log)
        print(f"stopped at step {run.step}; the same command resumes", flush=True)
        run.workers.finish()
        raise
    finally:
        log.close()


def _stepper(run: Run, watch: Watch) -> Callable[[int, Progress], int]:
    """A function that makes the next steps and returns how many are done then."""
    train_step = make_train_step(
        run.model,
        run.optimizer,
        run.strategy,
        loss_name=run.config.loss,
        ignore_label=run.dataset.ignore_label,
        weight_decay=loss_weight_decay(run.config.optimizer),
    )
    iterator = _batches(run)
    longest = steps_per_loop(run.config, run.strategy)

    def one(step: int, progress: Progress) -> int:
        batch = next(iterator)
        watch.add(step + 1, train_step(batch), batch, progress)
        return step + 1

    if longest == 1 and not isinstance(run.strategy, tf.distribute.TPUStrategy):
        return one
    step_loop = make_step_loop(train_step, run.strategy)

    def several(step: int, progress: Progress) -> int:
        count = min(longest, steps_to_next_stop(step, run.config))
        results, ids = step_loop(iterator, count)
        for index in range(count):
            result = StepResult(*(values[index] for values in results))
            watch.add(step + index + 1, result, {"id": ids[index]}, progress)
        return step + count

    return several


def _stop_if_told(run: Run, step: int) -> None:
    number = run.workers.agree_to_stop(step)
    if number is not None:
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _batches(run: Run) -> Iterator[Any]:
    """The stream of (distributed) batches from the present step on."""
    start_step = run.step

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return training_batches(
            run.dataset,
            run.config.data,
            global_batch_size=run.config.global_batch_size,
            pad_value=run.pad_value,
            seed=run.config.seed,
            start_step=start_step,
            worker_index=context.input_pipeline_id,
            num_workers=context.num_input_pipelines,
            replicas_per_worker=run.strategy.num_replicas_in_sync // context.num_input_pipelines,
        )

    # The names of the images cannot go to a TPU.
    options = tf.distribute.InputOptions(
        experimental_fetch_to_device=not isinstance(run.strategy, tf.distribute.TPUStrategy)
    )
    return iter(run.strategy.distribute_datasets_from_function(make, options))


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
