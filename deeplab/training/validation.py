"""Evaluation during training, which decides about the best checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab.data import evaluation_batches
from deeplab.evaluation import evaluate_model, label_function
from deeplab.evaluation.examples import ExampleCollector
from deeplab.evaluation.metrics import Tally
from deeplab.evaluation.table import headline
from deeplab.model_dir import BEST_FOLDER, CHECKPOINT_FOLDER, save_checkpoint
from deeplab.models import variables_by_path
from deeplab.progress import Progress, warn
from deeplab.training.config import TrainConfig
from deeplab.training.monitoring.collapse import Collapse
from deeplab.training.monitoring.history import History
from deeplab.training.monitoring.run_log import RunLog
from deeplab.training.run import Run

_PANEL_IMAGES = 4


class _Stopped(Exception):
    """A signal came while workers were evaluating; the loop will see to it."""


def is_evaluation_missing(config: TrainConfig, model_dir: Path, step: int) -> bool:
    """Whether the evaluation due at a step that is done was cut short, with its run."""
    if step == 0 or not config.eval_steps:
        return False
    is_due = step % config.eval_steps == 0 or step == config.train_steps
    return is_due and not History(model_dir, step=step).was_evaluated(step)


class Validation:
    """Measures the model on the evaluation split and keeps the best checkpoint."""

    def __init__(self, run: Run, log: RunLog) -> None:
        """Binds it to the model of the run."""
        self._run = run
        self._log = log
        self._labels = label_function(run.evaluated_network)
        self._collapse = Collapse(run.dataset.class_names)

    def evaluate(self, step: int, progress: Progress) -> None:
        """One evaluation at a step. Several workers share the images."""
        run = self._run
        run.evaluated_network.refresh()
        examples = ExampleCollector(ranked=0, random=_PANEL_IMAGES)
        split = run.dataset.find_split(run.config.data.eval_split, run.dataset.eval_split)
        try:
            metrics = evaluate_model(
                self._labels,
                self._batches(),
                class_names=run.dataset.class_names,
                ignore_label=run.dataset.ignore_label,
                num_images=run.dataset.splits[split],
                on_image=examples.add,
                merge=self._merge,
            )
        except _Stopped:
            return
        best = self._log.best_miou
        self._log.evaluation(step, metrics)
        self._log.panel(step, examples.random, run.dataset)
        progress.message(f"step {step}: {headline(metrics)}")
        matrix = np.asarray(metrics["confusion_matrix"], np.int64)
        complaint = self._collapse.add(matrix, f"the evaluation of step {step}")
        if complaint and run.is_chief:
            warn(complaint)
        miou = metrics["miou"]
        if run.is_chief and miou is not None and (best is None or miou > best):
            folder = run.model_dir / CHECKPOINT_FOLDER / BEST_FOLDER
            weights = variables_by_path(run.evaluated_model)
            save_checkpoint(folder, step, {run.weights_group: weights}, keep=1)
        self._log.flush()

    def _batches(self) -> Iterator[Mapping[str, tf.Tensor]]:
        """This worker's share of the images, cut short if the workers are to stop."""
        workers = self._run.workers
        for batch in evaluation_batches(
            self._run.dataset,
            self._run.config.data,
            worker_index=workers.index,
            num_workers=workers.count,
        ):
            if workers.stop_signal is not None:
                return
            yield batch

    def _merge(self, tally: Tally) -> Tally:
        """Adds up the counts of all workers, exactly: they are whole numbers."""
        workers = self._run.workers
        if workers.count == 1:
            return tally
        own = None if workers.stop_signal is not None else tally.counted()
        counted = workers.combine("evaluation", own, self._sum)
        if counted is None:
            raise _Stopped
        total = Tally(tally.num_classes, tally.ignore_label)
        total.add_counted(counted)
        return total

    def _sum(self, shares: list[Any]) -> Any:
        if None in shares:
            return None
        total = Tally(self._run.dataset.num_classes, self._run.dataset.ignore_label)
        for share in shares:
            total.add_counted(share)
        return total.counted()
