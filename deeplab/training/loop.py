"""The loop: batches in, steps, checkpoints and evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab.data import training_batches
from deeplab.errors import DeepLabError, Terminated
from deeplab.models import rematerialised, variables_by_path
from deeplab.progress import track
from deeplab.run_folder import CHECKPOINT_FOLDER, list_checkpoints, save_checkpoint
from deeplab.training.collapse import TrainingImages
from deeplab.training.first_batch import report_first_batch
from deeplab.training.input_wait import InputWait
from deeplab.training.losses import make_loss
from deeplab.training.memory_advice import training_explained
from deeplab.training.optimizers import loss_weight_decay
from deeplab.training.profile import profiled
from deeplab.training.run import Run
from deeplab.training.run_log import RunLog
from deeplab.training.step import make_train_step
from deeplab.training.validation import Validation
from deeplab.training.watch import Watch


def run_loop(run: Run) -> None:
    """Trains from the present step to the last one.

    Ctrl-C and SIGTERM save a checkpoint before they go on their way.

    Raises:
        DeepLabError: when the loss is no longer finite; the message names step and images. When the
            memory does not suffice, with what to change.
    """
    config = run.config
    step_function = make_train_step(
        run.model,
        run.optimizer,
        run.strategy,
        loss=make_loss(
            config.loss,
            num_classes=run.dataset.num_classes,
            ignore_label=run.dataset.ignore_label,
        ),
        ignore_label=run.dataset.ignore_label,
        weight_decay=loss_weight_decay(config.optimizer),
        forward=rematerialised(run.model) if config.rematerialize else None,
        accumulation_steps=config.accumulation_steps,
        clip_norm=config.optimizer.clip_norm,
        loss_scale=run.loss_scale,
        average=run.average,
    )
    with (
        training_explained(run),
        RunLog(run.model_dir, step=run.step, writes=run.is_chief) as log,
        profiled(step_function, run) as train_step,
        track("training", config.train_steps, start=run.step) as progress,
    ):
        validation = Validation(run, log) if config.eval_steps else None
        training_images = TrainingImages(run)
        batches = InputWait(_batches(run))
        watch = Watch(run, log, batches)
        try:
            for batch in batches:
                step = run.step
                if step == 0 and run.is_chief:
                    report_first_batch(run, log, batch, progress)
                watch.add(step + 1, train_step(batch), batch, progress)
                step += 1
                training_images.look(step, batch)
                if step % config.checkpoint_steps == 0 or step == config.train_steps:
                    watch.check()
                    _save(run, log)
                if validation and (step % config.eval_steps == 0 or step == config.train_steps):
                    watch.check()
                    validation.evaluate(step, progress)
                    watch.restart_clock()
                if step == config.train_steps:
                    break
        except (KeyboardInterrupt, Terminated):
            watch.check()
            if not _is_saved(run):
                _check_weights(run)
                _save(run, log)
            progress.message(f"stopped at step {run.step}; the same command resumes")
            raise


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

    return iter(run.strategy.distribute_datasets_from_function(make))


def _save(run: Run, log: RunLog) -> None:
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
