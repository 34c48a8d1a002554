"""Noticing that a network predicts one class everywhere."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplab.evaluation import label_function
from deeplab.evaluation.metrics import confusion_matrix
from deeplab.progress import warn
from deeplab.training.run import Run

Matrix = npt.NDArray[np.int64]  # rows are labels, columns predictions

_COLLAPSED = 0.995  # share of one class in the predictions
_OTHERS = 0.05  # share of the other classes in the labels that makes this remarkable
_LOG_ENTRIES = 5  # log entries between two looks at a training image
_LOOKS = 3  # looks that are judged together


class Collapse:
    """Judges the latest confusion matrices together, and complains once for each collapse."""

    def __init__(self, class_names: Sequence[str], *, together: int = 1) -> None:
        """Takes how many matrices are judged together."""
        self._class_names = class_names
        self._matrices: collections.deque[Matrix] = collections.deque(maxlen=together)
        self._collapsed = False

    def add(self, matrix: Matrix, where: str) -> str | None:
        """Takes a confusion matrix; the complaint if the predictions have just collapsed.

        Args:
            matrix: [C,C], rows are labels, columns predictions.
            where: what was predicted, such as "the evaluation of step 200".
        """
        self._matrices.append(matrix)
        if len(self._matrices) < (self._matrices.maxlen or 0):
            return None
        total = sum(self._matrices)
        predicted, labeled = (shares(np.sum(total, axis=axis)) for axis in (0, 1))
        before, index = self._collapsed, int(np.argmax(predicted))
        self._collapsed = predicted[index] >= _COLLAPSED and labeled[index] <= 1 - _OTHERS
        if before or not self._collapsed:
            return None
        return (
            f"predictions have collapsed to one class: {self._class_names[index]!r} is "
            f"{predicted[index]:.1%} of the predicted pixels in {where}, and "
            f"{labeled[index]:.1%} of the labels. If it lasts, look at the class ids of the masks "
            "(train/first_batch.png), at the learning rate (too high?), and in short runs from "
            "random weights at the momentum of batch norm "
            "(ModelConfig.backbone_batch_norm_momentum and head_batch_norm_momentum: 0.95 for some "
            "hundred steps, 0.99 for some thousands)"
        )


class TrainingImages:
    """Looks now and then at what the network makes of an image that it trains on.

    As in evaluation, with the moving statistics of batch norm: a step itself does not show when
    these are of no use yet.
    """

    def __init__(self, run: Run) -> None:
        """Binds it to the model of the run."""
        self._run = run
        self._collapse = Collapse(run.dataset.class_names, together=_LOOKS)
        self._labels = label_function(run.network)

    def look(self, step: int, batch: Mapping[str, Any]) -> None:
        """Takes the batch of every step; warns when the predictions have just collapsed."""
        run = self._run
        if step % (_LOG_ENTRIES * run.config.log_steps):
            return
        run.network.refresh()
        images, labels = (
            run.strategy.experimental_local_results(batch[name])[0][:1]
            for name in ("image", "label")
        )
        matrix = confusion_matrix(
            labels.numpy(),
            self._labels(images).numpy(),
            len(run.dataset.class_names),
            run.dataset.ignore_label,
        )
        complaint = self._collapse.add(matrix, f"training images up to step {step}")
        if complaint and run.is_chief:
            warn(complaint)


def shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each count over their sum; 0 where there is nothing."""
    return counts / max(int(counts.sum()), 1)
