"""Evaluation during training, which decides about the best checkpoint."""

from __future__ import annotations

import numpy as np

from deeplab.data import evaluation_batches
from deeplab.evaluation import evaluate_model, label_function
from deeplab.evaluation.examples import ExampleCollector
from deeplab.evaluation.table import headline
from deeplab.models import variables_by_path
from deeplab.progress import Progress, warn
from deeplab.run_folder import BEST_FOLDER, CHECKPOINT_FOLDER, save_checkpoint
from deeplab.training.collapse import Collapse
from deeplab.training.run import Run
from deeplab.training.run_log import RunLog

_PANEL_IMAGES = 4


class Validation:
    """Measures the model on the evaluation split and keeps the best checkpoint."""

    def __init__(self, run: Run, log: RunLog) -> None:
        """Binds it to the model of the run."""
        self._run = run
        self._log = log
        self._labels = label_function(run.evaluated_model)
        self._collapse = Collapse(run.dataset.class_names)

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
        self._log.panel(step, examples.random, run.dataset)
        progress.message(f"step {step}: {headline(metrics)}")
        matrix = np.asarray(metrics["confusion_matrix"], np.int64)
        if complaint := self._collapse.add(matrix, f"the evaluation of step {step}"):
            warn(complaint)
        miou = metrics["miou"]
        if miou is not None and (best is None or miou > best):
            folder = run.model_dir / CHECKPOINT_FOLDER / BEST_FOLDER
            weights = variables_by_path(run.evaluated_model)
            save_checkpoint(folder, step, {run.weights_group: weights}, keep=1)
        self._log.flush()
