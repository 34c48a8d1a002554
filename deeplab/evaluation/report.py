"""The result of an evaluation as one web page that needs nothing else.

Images travel once: the page paints labels, predictions and errors itself, from pictures of ids, so
that it can show some of the classes alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplab.data import colors
from deeplab.data.colors import Color
from deeplab.evaluation import charts
from deeplab.evaluation.examples import ExampleCollector, Scored
from deeplab.evaluation.metrics import class_share
from deeplab.evaluation.table import comparison_cells, interval, lowest, percentage, rate
from deeplab.page import css, jpeg, png, render_page

# Above this many classes the cells of the confusion matrix are too small for numbers.
_LARGEST_TABLE = 32
_MISTAKES = 12
_GROUPS = 60

_SECTIONS = (
    ("Worst images", "The lowest mean IoU first."),
    ("Median images", "Of a mean IoU in the middle of all images."),
    ("Best images", "The highest mean IoU first."),
)


def render_report(
    metrics: Mapping[str, Any],
    examples: ExampleCollector,
    *,
    title: str,
    class_colors: Sequence[Color],
    ignore_label: int,
) -> str:
    """The page as HTML.

    Args:
        metrics: what metrics.json holds.
        examples: the images to show.
        title: what was evaluated.
        class_colors: RGB 0..255, one per class id.
        ignore_label: the label id of pixels that do not count.
    """
    names = list(metrics["per_class_iou"])
    matrix = np.asarray(metrics["confusion_matrix"], np.int64)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)  # of each label's pixels
    shown = _ids_in(itertools.chain(*examples.ranked))
    sections = zip(_SECTIONS, examples.ranked, strict=True)
    values = dict(
        title=title,
        facts=_facts(metrics),
        numbers=_numbers(metrics),
        comparison=_comparison(metrics.get("comparison")),
        charts=list(_charts(metrics)),
        confused=_largest_mistakes(shares, names),
        heat=_heat(matrix, shares, names),
        is_large=len(names) > _LARGEST_TABLE,
        names=names,
        legend=[
            {"id": int(class_id), "name": name, "css": css(color), "color": list(color)}
            for class_id, name, color in _entries(names, class_colors, ignore_label)
            if class_id in shown
        ],
        ignore_label=ignore_label,
        sections=[
            {
                "title": heading,
                "text": text,
                "images": [_pictures(item, is_wide=ignore_label > 255) for item in items],
            }
            for (heading, text), items in sections
        ],
    )
    return render_page("deeplab.evaluation", "report.html.jinja", values)


def _facts(metrics: Mapping[str, Any]) -> list[str]:
    """What was evaluated and how, a few words each."""
    scales = ", ".join(f"{scale:g}" for scale in metrics["eval_scales"])
    return [
        f"{metrics['num_images']} images",
        f"checkpoint of step {metrics['checkpoint_step']}",
        f"output stride {metrics['output_stride']}",
        f"scales {scales}" + (" and mirrored" if metrics["flip"] else ""),
    ]


def _numbers(metrics: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The headline numbers, and the interval of the first."""
    bounds = (metrics.get("intervals") or {}).get("miou")
    note = f"95 % interval {interval(bounds)}" if bounds else ""
    yield {"name": "mIoU", "value": rate(metrics["miou"]), "note": note}
    rates = {
        "mIoU, classes in the labels": metrics["miou_present"],
        "mIoU, all classes": metrics["miou_all"],
        "pixel accuracy": metrics["pixel_accuracy"],
        "mean accuracy": metrics["mean_accuracy"],
        "frequency weighted IoU": metrics["frequency_weighted_iou"],
    }
    if metrics.get("boundary_f"):
        rates["boundary F-score"] = metrics["boundary_f"]["mean"]
    if metrics.get("calibration"):
        rates["calibration error"] = metrics["calibration"]["ece"]
    for name, value in rates.items():
        yield {"name": name, "value": rate(value), "note": ""}


def _charts(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Charts with the same numbers as tables: title, text, svg, headings and rows."""
    yield _chart(
        "Classes",
        "Intersection over union of each class, with the 95 % interval (bootstrap over images).",
        charts.bars("classes", metrics["per_class_iou"], _bounds(metrics)),
        ("class", "IoU", "95 % interval", "precision", "recall", "F1", "boundary F", "pixels"),
        _class_rows(metrics),
        is_open=True,
    )
    curves = {"all label boundaries": metrics["boundary_iou"]}
    if metrics.get("trimap_iou"):
        curves["dilated void (trimap)"] = metrics["trimap_iou"]
    widths = sorted({width for curve in curves.values() for width in curve}, key=int)
    yield _chart(
        "At the boundaries",
        "Mean IoU over the pixels that are at most so many pixels away from a boundary.",
        charts.lines("boundaries", "pixels", curves),
        ("pixels", *curves),
        [(width, *(rate(curve.get(width)) for curve in curves.values())) for width in widths],
    )
    if metrics.get("calibration"):
        yield _chart(
            "Calibration",
            "How often pixels are right that the model is so sure of. Expected calibration error: "
            f"{rate(metrics['calibration']['ece'])}.",
            charts.reliability("calibration", metrics["calibration"]["curve"]),
            ("confidence from", "to", "mean confidence", "accuracy", "pixels"),
            [
                (
                    *map(rate, row["bin"]),
                    rate(row["confidence"]),
                    rate(row["accuracy"]),
                    f"{row['pixels']:,}",
                )
                for row in metrics["calibration"]["curve"]
            ],
        )
    for key, title, text in (
        ("by_size", "By image size", "Thirds of the images by their number of pixels."),
        ("by_group", "By group", "Images grouped by a part of their names."),
    ):
        if len(metrics.get(key) or {}) > 1:
            yield _group_chart(key, title, text, metrics[key])
    if metrics.get("merged"):
        merged = metrics["merged"]
        yield _chart(
            "Merged classes",
            f"IoU of super-categories; their mean is {rate(merged['miou'])}.",
            charts.bars("merged", merged["per_class_iou"], _bounds(merged)),
            ("class", "IoU", "precision", "recall", "F1"),
            [
                (name, *(rate(merged[key][name]) for key in _RATES))
                for name in merged["per_class_iou"]
            ],
        )


_RATES = ("per_class_iou", "precision", "recall", "f1")


def _chart(
    title: str,
    text: str,
    svg: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    is_open: bool = False,
) -> dict[str, Any]:
    return {
        "title": title,
        "text": text,
        "svg": svg,
        "headings": headings,
        "rows": rows,
        "is_open": is_open,
    }


def _group_chart(key: str, title: str, text: str, groups: Mapping[str, Any]) -> dict[str, Any]:
    shown = lowest({name: row["miou"] for name, row in groups.items()}, _GROUPS)
    text += f" The {len(shown)} lowest of {len(groups)}." if len(groups) > len(shown) else ""
    groups = {name: groups[name] for name in shown}
    headings = ["group", "images", "mIoU", "pixel accuracy"]
    rows = [
        [name, str(row["num_images"]), rate(row["miou"]), rate(row["pixel_accuracy"])]
        for name, row in groups.items()
    ]
    if all("pixels" in row for row in groups.values()):
        headings.append("pixels")
        for cells, row in zip(rows, groups.values(), strict=True):
            cells.append("{:,} to {:,}".format(*row["pixels"]))
    svg = charts.bars(key, {name: row["miou"] for name, row in groups.items()})
    return _chart(title, text, svg, headings, rows)


def _bounds(metrics: Mapping[str, Any]) -> Mapping[str, Sequence[float] | None]:
    return (metrics.get("intervals") or {}).get("per_class_iou") or {}


def _class_rows(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    bounds = _bounds(metrics)
    near = (metrics.get("boundary_f") or {}).get("per_class") or {}
    shares = class_share(np.asarray(metrics["confusion_matrix"], np.int64))
    return [
        (
            name,
            rate(iou),
            interval(bound) if (bound := bounds.get(name)) else "-",
            *(rate(metrics[key][name]) for key in _RATES[1:]),
            rate(near.get(name)),
            percentage(share),
        )
        for (name, iou), share in zip(metrics["per_class_iou"].items(), shares, strict=True)
    ]


def _comparison(comparison: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not comparison:
        return None
    named = {"mean": comparison["miou"], **comparison["per_class_iou"]}
    return {
        "other": comparison["other"],
        "rows": [(name, *comparison_cells(row)) for name, row in named.items()],
        "images": [
            (row["id"], rate(row["miou"]), rate(row["other"]), f"{row['difference']:+.4f}")
            for row in comparison["images"]
        ],
    }


def _ids_in(examples: Iterator[Scored]) -> set[int]:
    """The class ids that can be seen in some images."""
    ids: set[int] = set()
    for item in examples:
        ids.update(np.unique(item.labels).tolist(), np.unique(item.predictions).tolist())
    return ids


def _entries(
    names: Sequence[str], class_colors: Sequence[Color], ignore_label: int
) -> Iterator[tuple[int, str, Color]]:
    """Id, name and color of each class and of ignored pixels."""
    yield from zip(range(len(names)), names, class_colors, strict=True)
    yield ignore_label, "not labeled", colors.IGNORE_COLOR


def _largest_mistakes(
    shares: npt.NDArray[np.float64], names: Sequence[str]
) -> list[dict[str, str]]:
    mistakes = shares * (1 - np.eye(len(names)))
    pairs = np.argsort(-mistakes, axis=None, kind="stable")[:_MISTAKES]
    rows = zip(*np.unravel_index(pairs, mistakes.shape), strict=True)
    return [
        {
            "label": names[label],
            "prediction": names[prediction],
            "share": percentage(mistakes[label, prediction]),
        }
        for label, prediction in rows
        if mistakes[label, prediction] >= 0.005
    ]


def _heat(
    matrix: npt.NDArray[np.int64], shares: npt.NDArray[np.float64], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows of cells; the shade grows as the square root, or rare mistakes would be invisible."""
    return [
        {
            "name": name,
            "cells": [
                {
                    "hit": label == prediction,
                    "alpha": f"{shares[label, prediction] ** 0.5:.2f}" if count else "",
                    "is_dark": shares[label, prediction] > 0.4,
                    "text": f"{100 * shares[label, prediction]:.0f}"
                    if shares[label, prediction] >= 0.005
                    else "",
                    "hint": f"{name} taken for {names[prediction]}: {count:,} pixels"
                    if count
                    else "",
                }
                for prediction, count in enumerate(matrix[label].tolist())
            ],
        }
        for label, name in enumerate(names)
    ]


def _pictures(item: Scored, *, is_wide: bool) -> dict[str, Any]:
    return {
        "image_id": item.image_id,
        "miou": rate(item.miou),
        "height": item.labels.shape[0],
        "width": item.labels.shape[1],
        # Enlarged by the page, such images are better seen as the pixels they are.
        "small": max(item.labels.shape) < 200,
        "photo": jpeg(item.image),
        "label": png(_as_picture(item.labels, is_wide)),
        "prediction": png(_as_picture(item.predictions, is_wide)),
    }


def _as_picture(ids: npt.NDArray[np.integer], is_wide: bool) -> npt.NDArray[np.uint8]:
    """Ids as a picture that a page can read; wide ones as red and green, low and high byte."""
    if not is_wide:
        return ids.astype(np.uint8)
    return np.stack([ids & 255, ids >> 8, np.zeros_like(ids)], axis=-1).astype(np.uint8)
