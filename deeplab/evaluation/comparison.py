"""Two evaluations of the same images side by side.

The interval of a difference comes from the bootstrap over images, the same draws for both: see
`bootstrap.py`. One that does not hold 0 says that other images would rather not turn the sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.evaluation.bootstrap import difference_intervals
from deeplab.evaluation.metrics import number
from deeplab.evaluation.per_image import PerImage
from deeplab.evaluation.result_files import Result

_IMAGES = 20


def check_classes(path: Path, theirs: Sequence[str], ours: Sequence[str]) -> None:
    """Makes sure that another evaluation or model has our classes.

    Args:
        path: of the other, for the message.
        theirs: its class names.
        ours: those to be found there, in this order.

    Raises:
        DeepLabError: if it has others.
    """
    if list(theirs) == list(ours):
        return
    different = [name for name in (*ours, *theirs) if (name in theirs) != (name in ours)]
    what = f"the first is {different[0]!r}" if different else "in another order"
    raise DeepLabError(f"{path} is of other classes than this evaluation: {what}")


def _check_images(other: Result, ids: Sequence[str]) -> None:
    only = set(ids) ^ set(other.images.ids)
    if only:
        first = min(only)
        where = "here" if first in set(ids) else "there"
        raise DeepLabError(
            f"{other.path} is of other images than this evaluation: {first} is only {where} "
            f"({len(ids)} images here, {len(other.images.ids)} there)"
        )


def compared(metrics: Mapping[str, Any], images: PerImage, other: Result) -> dict[str, Any]:
    """The key "comparison" of metrics.json; differences are ours minus the other's.

    Args:
        metrics: our metrics.json.
        images: our counts.
        other: an evaluation of the same images and classes.

    Returns:
        {"other": path, "checkpoint_step", "miou": row, "per_class_iou": {name: row}, "images":
        [{"id", "miou": ours, "other", "difference"}]}, where a row is {"this", "other",
        "difference", "interval": [low, high]}. The images are those with the largest differences.

    Raises:
        DeepLabError: if it is of others.
    """
    names = list(metrics["per_class_iou"])
    check_classes(other.path, list(other.metrics["per_class_iou"]), names)
    _check_images(other, images.ids)
    theirs = other.images.in_order_of(images.ids)
    bounds = difference_intervals(images.sums, theirs.sums, names)
    ours, others = images.miou, theirs.miou
    gaps = np.abs(np.nan_to_num(ours - others))
    order = [index for index in np.argsort(-gaps, kind="stable")[:_IMAGES] if gaps[index] > 0]
    return {
        "other": str(other.path),
        "checkpoint_step": other.metrics.get("checkpoint_step"),
        "level": bounds["level"],
        "miou": _row(metrics["miou"], other.metrics["miou"], bounds["miou"]),
        "per_class_iou": {
            name: _row(
                metrics["per_class_iou"][name],
                other.metrics["per_class_iou"][name],
                bounds["per_class_iou"][name],
            )
            for name in names
        },
        "images": [
            {
                "id": images.ids[index],
                "miou": number(ours[index]),
                "other": number(others[index]),
                "difference": number(ours[index] - others[index]),
            }
            for index in order
        ],
    }


def _row(
    this: float | None, other: float | None, interval: Sequence[float] | None
) -> dict[str, Any]:
    known = this is not None and other is not None
    return {
        "this": this,
        "other": other,
        "difference": this - other if this is not None and other is not None else None,
        "interval": interval if known else None,
    }
