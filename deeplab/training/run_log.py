"""What a run tells about itself: history.json and TensorBoard events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab import files
from deeplab.evaluation.colors import Color, color_image
from deeplab.evaluation.examples import Scored

_HISTORY = "history.json"


class RunLog:
    """Writes the numbers of a run.

    history.json holds {"train": [{"step", "loss", ...}], "eval": [{"step", "miou", ...}]}; the
    TensorBoard events lie in train/ and eval/.
    """

    def __init__(self, model_dir: Path, *, step: int, writes: bool = True) -> None:
        """Continues the history of the folder, without what lies behind `step`.

        Args:
            model_dir: the folder.
            step: steps done.
            writes: whether this is the process that writes; the others only remember.
        """
        self._writes = writes
        self._path = model_dir / _HISTORY
        self._history: dict[str, list[dict[str, Any]]] = {"train": [], "eval": []}
        for kind, rows in self._read().items():
            self._history[kind] = [row for row in rows if row["step"] <= step]
        self._train, self._eval = (
            tf.summary.create_file_writer(str(model_dir / name))
            if writes
            else tf.summary.create_noop_writer()
            for name in ("train", "eval")
        )

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        try:
            history: dict[str, list[dict[str, Any]]] = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return history

    @property
    def best_miou(self) -> float | None:
        """The best mean IoU so far; None before the first evaluation."""
        mious = [row["miou"] for row in self._history["eval"]]
        return max((miou for miou in mious if miou is not None), default=None)

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """Notes numbers of a training step."""
        self._history["train"].append({"step": step, **values})
        with self._train.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def evaluation(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Notes the metrics of an evaluation."""
        names = ("miou", "pixel_accuracy", "mean_accuracy")
        row = {name: metrics[name] for name in names}
        self._history["eval"].append({"step": step, **row})
        with self._eval.as_default(step=step):
            ious = {f"iou/{name}": iou for name, iou in metrics["per_class_iou"].items()}
            for name, value in {**row, **ious}.items():
                if value is not None:
                    tf.summary.scalar(name, value)

    def panel(
        self, step: int, examples: Sequence[Scored], colors: Sequence[Color], ignore_label: int
    ) -> None:
        """Shows a few images: image, label and prediction side by side."""
        with self._eval.as_default(step=step):
            for index, example in enumerate(examples):
                pictures = (
                    example.image,
                    color_image(example.labels, colors, ignore_label),
                    color_image(example.predictions, colors),
                )
                row = np.concatenate(pictures, axis=1)
                tf.summary.image(f"image_label_prediction/{index}", row[None])

    def flush(self) -> None:
        """Brings everything to the disk."""
        if self._writes:
            files.write_text(self._path, json.dumps(self._history, indent=1) + "\n")
        self._train.flush()
        self._eval.flush()

    def close(self) -> None:
        """Flushes and closes."""
        self.flush()
        self._train.close()
        self._eval.close()
