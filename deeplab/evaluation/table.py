"""The result of an evaluation as text for a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deeplab.evaluation.metrics import class_accuracy, class_share
from deeplab.table import class_table


def render_table(metrics: Mapping[str, Any]) -> str:
    """Per-class results and headline numbers, without colors, ending with a newline.

    Args:
        metrics: what metrics.json holds.
    """
    rows = [(str(class_id), *cells) for class_id, cells in enumerate(class_cells(metrics))]
    table = class_table(("IoU", "accuracy", "pixels"), rows)
    return "\n".join([table, "", headline(metrics), boundary_line(metrics), ""])


def class_cells(metrics: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Name, IoU, accuracy and share of the labeled pixels of each class, as texts."""
    matrix = np.asarray(metrics["confusion_matrix"], np.int64)
    columns = zip(
        metrics["per_class_iou"].items(), class_accuracy(matrix), class_share(matrix), strict=True
    )
    return [
        (name, rate(iou), rate(accuracy), percentage(share))
        for (name, iou), accuracy, share in columns
    ]


def headline(metrics: Mapping[str, Any]) -> str:
    """The numbers of the whole evaluation in one line."""
    return (
        f"mIoU {rate(metrics['miou'])}  "
        f"pixel accuracy {rate(metrics['pixel_accuracy'])}  "
        f"mean accuracy {rate(metrics['mean_accuracy'])}  "
        f"{metrics['num_images']} images"
    )


def boundary_line(metrics: Mapping[str, Any]) -> str:
    """The mIoU of the boundary bands in one line."""
    bands = [f"{width} px {rate(iou)}" for width, iou in metrics["boundary_iou"].items()]
    return "  ".join(["boundary mIoU", *bands])


def rate(value: float | None) -> str:
    """A fraction 0..1 with four digits; a dash if there was nothing to measure."""
    return "-" if value is None or np.isnan(value) else f"{value:.4f}"


def percentage(value: float | None) -> str:
    """A fraction 0..1 as percent; a dash if there was nothing to measure."""
    return "-" if value is None or np.isnan(value) else f"{100 * value:.2f} %"
