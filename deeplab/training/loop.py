"""The loop: batches in, steps, checkpoints, evaluations, and a stop when the loss is not finite."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from deeplab.data import PreparedDataset, evaluation_batches, training_batches
from deeplab.errors import DeepLabError, Terminated
from deeplab.evaluation import evaluate_model, label_function
from deeplab.evaluation.examples import ExampleCollector
from deeplab.evaluation.table import headline
from deeplab.models import DeepLabModel, variables_by_path
from deeplab.progress import Progress, track
from deeplab.run_folder import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    list_checkpoints,
    save_checkpoint,
)
from deeplab.training.config import TrainConfig
from deeplab.training.optimizers import Optimizer, loss_weight_decay
from deeplab.training.run_log import RunLog
from deeplab.training.step import StepResult, make_train_step

_PANEL_IMAGES = 4


@dataclasses.dataclass(frozen=True)
class Run:
    """Everything that the loop works on.

    Attributes:
        config: settings.
        model_dir: where things are written.
        dataset: prepared records.
        model: made in the strategy's scope, weights loaded.
        optimizer: likewise; its step says where the run is.
        strategy: how a step is spread over devices.
        pad_value: colour that crops are padded with, RGB 0..255.
    """

    config: TrainConfig
    model_dir: Path
    dataset: PreparedDataset
    model: DeepLabModel
    optimizer: Optimizer
    strategy: tf.distribute.Strategy
    pad_value: tuple[float, float, float]

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.optimizer.step.numpy())

    def checkpoint_groups(self) -> dict[str, dict[str, Any]]:
        """All that a resumed run needs: weights, optimizer and the state of dropout."""
        return {
            "model": variables_by_path(self.model),
            "optimizer": self.optimizer.variables_by_path(),
            "random": {
                layer.name.replace(".", "/"): layer.seed_generator.state
                for layer in self.model.layers
                if getattr(layer, "seed_generator", None) is not None
            },
        }


def run_loop(run: Run) -> None:
    """Trains from the present step to the last one.

    Ctrl-C and SIGTERM save a checkpoint before they go on their way.

    Raises:
        DeepLabError: when the loss is no longer finite; the message names step and images.
    """
    config = run.config
    log = RunLog(run.model_dir, step=run.step)
    train_step = make_train_step(
        run.model,
        run.optimizer,
        run.strategy,
        loss_name=config.loss,
        ignore_label=run.dataset.ignore_label,
        weight_decay=loss_weight_decay(config.optimizer),
    )
    evaluator = _Evaluator(run, log) if config.eval_steps else None
    watch = _Watch(run, log)
    try:
        with track("training", config.train_steps, start=run.step) as progress:
            for batch in _batches(run):
                step = run.step
                watch.add(step + 1, train_step(batch), batch, progress)
                step += 1
                if step % config.checkpoint_steps == 0 or step == config.train_steps:
                    watch.check()
                    _save(run, log)
                if evaluator and (step % config.eval_steps == 0 or step == config.train_steps):
                    watch.check()
                    evaluator.evaluate(step, progress)
                    watch.restart_clock()
                if step == config.train_steps:
                    break
    except (KeyboardInterrupt, Terminated):
        watch.check()
        if not _is_saved(run):
            _save(run, log)
        print(f"stopped at step {run.step}; the same command resumes", flush=True)
        raise
    finally:
        log.close()


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


class _Watch:
    """Looks at the loss of every step, one step late: the device computes while Python looks."""

    def __init__(self, run: Run, log: RunLog) -> None:
        self._run = run
        self._log = log
        self._pending: tuple[int, StepResult, Any] | None = None
        self._since_log = 0
        self.restart_clock()

    def restart_clock(self) -> None:
        """What took time until now is not part of the speed of the steps."""
        self._clock, self._since_log = time.perf_counter(), 0

    def add(self, step: int, result: StepResult, batch: Any, progress: Progress) -> None:
        """Takes the result of a step and checks the one before it."""
        loss = self.check()
        note = "" if loss is None else f"loss {loss:.3f}"
        self._pending = (step, result, batch)
        progress.advance(1, note=note)
        self._since_log += 1
        if step % self._run.config.log_steps == 0:
            self.check()
            self._note(step, result)

    def check(self) -> float | None:
        """Waits for the last result and raises if its loss is not finite."""
        if self._pending is None:
            return None
        step, result, batch = self._pending
        self._pending = None
        loss = float(result.loss)
        if math.isfinite(loss) and math.isfinite(float(result.gradient_norm)):
            return loss
        saved = list_checkpoints(self._run.model_dir / CHECKPOINT_FOLDER)
        last = f"the last checkpoint is of step {saved[-1].step}" if saved else "nothing was saved"
        raise DeepLabError(
            f"the loss is {loss} and its gradient {float(result.gradient_norm)} at step {step}; "
            f"{last}; images of this step: {', '.join(self._ids(batch))}"
        )

    def _ids(self, batch: Any) -> list[str]:
        local = self._run.strategy.experimental_local_results(batch["id"])
        return [raw.decode("utf-8", "replace") for ids in local for raw in ids.numpy()]

    def _note(self, step: int, result: StepResult) -> None:
        seconds = time.perf_counter() - self._clock
        rate = self._since_log / max(seconds, 1e-9)
        values = {
            "loss": float(result.loss),
            "weight_decay_loss": float(result.penalty),
            "gradient_norm": float(result.gradient_norm),
            "learning_rate": float(result.learning_rate),
            "steps_per_second": rate,
            "images_per_second": rate * self._run.config.global_batch_size,
        }
        self._log.train(step, values)
        self.restart_clock()


class _Evaluator:
    """Measures the model on the evaluation split and keeps the best checkpoint."""

    def __init__(self, run: Run, log: RunLog) -> None:
        self._run = run
        self._log = log
        self._labels = label_function(run.model)

    def evaluate(self, step: int, progress: Progress) -> None:
        """One evaluation at a step."""
        run = self._run
        examples = ExampleCollector(worst=0, random=_PANEL_IMAGES)
        metrics = evaluate_model(
            self._labels,
            evaluation_batches(run.dataset, run.config.data),
            class_names=run.dataset.class_names,
            ignore_label=run.dataset.ignore_label,
            on_image=examples.add,
        )
        best = self._log.best_miou
        self._log.evaluation(step, metrics)
        self._log.panel(step, examples.random, run.dataset.colors, run.dataset.ignore_label)
        progress.message(f"step {step}: {headline(metrics)}")
        miou = metrics["miou"]
        if miou is not None and (best is None or miou > best):
            folder = run.model_dir / CHECKPOINT_FOLDER / BEST_FOLDER
            save_checkpoint(folder, step, {"model": variables_by_path(run.model)}, keep=1)
        self._log.flush()
