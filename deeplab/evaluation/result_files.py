"""The files of a result: metrics.json, per_image.npz and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.evaluation import per_image
from deeplab.evaluation.per_image import PerImage, read_per_image
from deeplab.files import write_bytes, write_text

METRICS = "metrics.json"
REPORT = "report.html"


class Result(NamedTuple):
    """An evaluation that was written.

    Attributes:
        path: of its metrics.json.
        metrics: the content of that.
        images: the counts of each image.
    """

    path: Path
    metrics: Mapping[str, Any]
    images: PerImage


def write_result(folder: Path, metrics: Mapping[str, Any], images: PerImage, report: str) -> None:
    """Writes the three files.

    Raises:
        DeepLabError: if the folder cannot be written.
    """
    write_bytes(folder / per_image.FILE_NAME, images.to_bytes())
    write_text(folder / REPORT, report)
    write_text(folder / METRICS, metrics_json(metrics))


def is_result(folder: Path) -> bool:
    """Whether a folder holds a result of this version."""
    return (folder / METRICS).is_file() and (folder / per_image.FILE_NAME).is_file()


def read_result(path: Path) -> Result:
    """Reads a metrics.json and the per_image.npz beside it.

    Raises:
        DeepLabError: if one is missing, damaged, or they do not belong together.
    """
    try:
        metrics = json.loads(path.read_text("utf-8"))
        matrix = np.array(metrics["confusion_matrix"], np.int64)
        names = list(metrics["per_class_iou"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DeepLabError(f"{path} is no metrics.json that can be read: {error!r}") from error
    images = read_per_image(path.with_name(per_image.FILE_NAME))
    if images.num_classes != len(names) or not np.array_equal(images.total(), matrix):
        raise DeepLabError(f"{path} and the {per_image.FILE_NAME} beside it are of two evaluations")
    return Result(path, metrics, images)


def metrics_json(metrics: Mapping[str, Any]) -> str:
    """The text of metrics.json: a line per entry, and one per row of the confusion matrix."""
    entries = []
    for key, value in metrics.items():
        if key == "confusion_matrix":
            text = _lines(value)
        else:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        entries.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _lines(rows: Sequence[Sequence[int]]) -> str:
    lines = ",\n    ".join(json.dumps(row) for row in rows)
    return f"[\n    {lines}\n  ]"
