"""What a run tells about itself: history files and TensorBoard events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from deeplab.data import PreparedDataset
from deeplab.data.colors import error_image, overlay
from deeplab.errors import DeepLabError
from deeplab.evaluation.examples import Scored
from deeplab.evaluation.panels import legend, sheet
from deeplab.training.monitoring.history import History

_METRICS = ("miou", "pixel_accuracy", "mean_accuracy")
_HEADINGS = ("image", "label", "prediction", "wrong pixels")


class RunLog:
    """Writes the numbers of a run: `History`, and TensorBoard events in train/ and eval/.

    A context manager: leaving it writes what is pending and closes the files. After an error it
    does so if it can; the error is what matters then.
    """

    def __init__(self, model_dir: Path, *, step: int, writes: bool = True) -> None:
        """Continues the history of the folder, without what lies behind `step`.

        Args:
            model_dir: folder of the run.
            step: steps done.
            writes: whether this process is the one that writes; if not, nothing is.
        """
        self._writes = writes
        self._history = History(model_dir, step=step)
        self._train, self._eval = (
            tf.summary.create_file_writer(str(model_dir / name))
            if writes
            else tf.summary.create_noop_writer()
            for name in ("train", "eval")
        )

    def __enter__(self) -> RunLog:
        """The log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Writes and closes."""
        try:
            self.flush()
            self._train.close()
            self._eval.close()
        except (DeepLabError, tf.errors.OpError):
            if error is None:
                raise

    @property
    def best_miou(self) -> float | None:
        """The best mean IoU so far; None before the first evaluation."""
        return self._history.best_miou

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """Notes numbers of a training step."""
        self._history.add("train", step, values)
        with self._train.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def evaluation(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Notes the metrics of an evaluation."""
        row = {name: metrics[name] for name in _METRICS}
        self._history.add("eval", step, {**row, "iou": metrics["per_class_iou"]})
        with self._eval.as_default(step=step):
            ious = {f"iou/{name}": iou for name, iou in metrics["per_class_iou"].items()}
            for name, value in {**row, **ious}.items():
                if value is not None:
                    tf.summary.scalar(name, value)

    def picture(self, step: int, name: str, picture: npt.NDArray[np.uint8]) -> None:
        """Shows a picture of the training, uint8 [H,W,3]."""
        with self._train.as_default(step=step):
            tf.summary.image(name, picture[None])

    def panel(self, step: int, examples: Sequence[Scored], dataset: PreparedDataset) -> None:
        """Shows a few images: label and prediction laid over each, and what is wrong."""
        colors, ignore_label = dataset.colors, dataset.ignore_label
        with self._eval.as_default(step=step):
            for index, one in enumerate(examples):
                pictures = (
                    one.image,
                    overlay(one.image, one.labels, colors, ignore_label),
                    overlay(one.image, one.predictions, colors),
                    error_image(one.image, one.labels, one.predictions, ignore_label),
                )
                entries = legend(
                    (one.labels, one.predictions), dataset.class_names, colors, ignore_label
                )
                picture = sheet([pictures], _HEADINGS, entries)
                tf.summary.image(f"image_label_prediction/{index}", picture[None])

    def flush(self) -> None:
        """Brings everything to the disk.

        Raises:
            DeepLabError: if it cannot be written.
        """
        if not self._writes:
            return
        self._history.write()
        try:
            self._train.flush()
            self._eval.flush()
        except tf.errors.OpError as error:
            raise DeepLabError(f"cannot write the TensorBoard events: {error.message}") from error
