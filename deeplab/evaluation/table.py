"""The result of an evaluation as text for a terminal, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from deeplab.evaluation.metrics import class_accuracy, class_share
from deeplab.table import WIDTH, class_table

_IMAGES = 5
_GROUPS = 30


def render_table(metrics: Mapping[str, Any]) -> str:
    """Per-class results and headline numbers, without colors, ending with a newline.

    Args:
        metrics: what metrics.json holds.
    """
    rows = [(str(class_id), *cells) for class_id, cells in enumerate(class_cells(metrics))]
    table = class_table(("IoU", "accuracy", "pixels"), rows)
    parts = [table, "\n".join([headline(metrics), boundary_line(metrics), *_lines(metrics)])]
    if metrics.get("comparison"):
        parts.append(_comparison(metrics["comparison"]))
    return "\n\n".join(parts) + "\n"


def _lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What an evaluation has beyond the counts, a line each."""
    bounds = (metrics.get("intervals") or {}).get("miou")
    if bounds:
        yield f"mIoU, 95 % interval (bootstrap over images): {interval(bounds)}"
    if metrics.get("calibration"):
        yield f"expected calibration error {rate(metrics['calibration']['ece'])}"
    if metrics.get("merged"):
        yield _of_groups("merged classes, IoU", metrics["merged"]["per_class_iou"])
    for key, text in (("by_size", "by image size, mIoU"), ("by_group", "by group, mIoU")):
        groups = metrics.get(key) or {}
        if len(groups) > 1:
            yield _of_groups(text, {name: row["miou"] for name, row in groups.items()})


def lowest(rates: Mapping[str, float | None], count: int) -> list[str]:
    """Their names, in their order if that are all, else those of the lowest, ascending."""
    if len(rates) <= count:
        return list(rates)
    ordered = sorted(rates.items(), key=lambda item: np.inf if item[1] is None else item[1])
    return [name for name, _ in ordered[:count]]


def _of_groups(text: str, rates: Mapping[str, float | None]) -> str:
    names = lowest(rates, _GROUPS)
    text += f" (lowest of {len(rates)})" if len(rates) > len(names) else ""
    line = "  ".join([text, *(f"{name} {rate(rates[name])}" for name in names)])
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False)


def _comparison(comparison: Mapping[str, Any]) -> str:
    """Class by class, and the images of which the two think most differently."""
    named = {"mean": comparison["miou"], **comparison["per_class_iou"]}
    rows = [
        ("" if index == 0 else str(index - 1), name, *comparison_cells(row))
        for index, (name, row) in enumerate(named.items())
    ]
    images = comparison["images"][:_IMAGES]
    return "\n".join(
        [
            f"compared with {comparison['other']}",
            class_table(("this", "other", "difference", "95 % interval"), rows),
            *(["", "mIoU of the images that differ most"] if images else []),
            *(
                f"  {row['id']}: this {rate(row['miou'])}, other {rate(row['other'])}"
                for row in images
            ),
        ]
    )


def comparison_cells(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Ours, the other's, the difference and its interval, as texts."""
    difference = row["difference"]
    return (
        rate(row["this"]),
        rate(row["other"]),
        "-" if difference is None else f"{difference:+.4f}",
        "-" if row["interval"] is None else interval(row["interval"], sign="+"),
    )


def interval(bounds: Sequence[float], sign: str = "") -> str:
    """Lower and upper bound."""
    return f"{bounds[0]:{sign}.4f} to {bounds[1]:{sign}.4f}"


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
