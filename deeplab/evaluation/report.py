"""The result of an evaluation as one web page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplab.data import colors
from deeplab.data.colors import Color
from deeplab.evaluation.examples import ExampleCollector, Scored
from deeplab.evaluation.table import class_cells, percentage, rate
from deeplab.page import css, jpeg, png, render_page

# Above this many classes the confusion matrix is drawn as a picture, a pixel per cell.
_LARGEST_TABLE = 32
_MISTAKES = 12


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
    matrix = np.asarray(metrics["confusion_matrix"], np.int64)
    names = list(metrics["per_class_iou"])
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)  # of each label's pixels
    shown = [*examples.worst, *examples.random]
    large = len(names) > _LARGEST_TABLE
    values = dict(
        title=title,
        facts=_facts(metrics),
        numbers=_numbers(metrics),
        classes=_classes(metrics, class_colors, _ids_in(shown)),
        bands=[
            {"width": width, "iou": iou, "text": rate(iou)}
            for width, iou in metrics["boundary_iou"].items()
        ],
        confused=_largest_mistakes(shares, names),
        heat_map=_heat_map(shares) if large else None,
        heat=[] if large else _heat(shares, names),
        ignore_color=css(colors.IGNORE_COLOR),
        sections=[
            {
                "title": title,
                "text": text,
                "images": [_pictures(item, class_colors, ignore_label) for item in items],
            }
            for title, text, items in (
                ("Worst images", "The largest share of wrong pixels first.", examples.worst),
                (
                    "Other images",
                    "Drawn by their names: another evaluation shows the same ones.",
                    examples.random,
                ),
            )
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


def _numbers(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, rate(metrics[key]))
        for name, key in (
            ("mIoU", "miou"),
            ("mIoU, classes in the labels", "miou_present"),
            ("mIoU, all classes", "miou_all"),
            ("pixel accuracy", "pixel_accuracy"),
            ("mean accuracy", "mean_accuracy"),
            ("frequency weighted IoU", "frequency_weighted_iou"),
        )
    ]


def _classes(
    metrics: Mapping[str, Any], class_colors: Sequence[Color], shown: set[int]
) -> list[dict[str, Any]]:
    rows = zip(class_cells(metrics), class_colors, strict=True)
    return [
        {
            "name": name,
            "iou": metrics["per_class_iou"][name],
            "iou_text": iou,
            "accuracy": accuracy,
            "share": share,
            "color": css(color),
            "shown": class_id in shown,
        }
        for class_id, ((name, iou, accuracy, share), color) in enumerate(rows)
    ]


def _ids_in(examples: Sequence[Scored]) -> set[int]:
    """The class ids that can be seen in some images."""
    ids: set[int] = set()
    for item in examples:
        ids.update(np.unique(item.labels).tolist(), np.unique(item.predictions).tolist())
    return ids


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


def _heat(shares: npt.NDArray[np.float64], names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of cells; the shade grows as the square root, or rare mistakes would be invisible."""
    return [
        {
            "name": name,
            "cells": [
                {
                    "hit": label == prediction,
                    "alpha": f"{share**0.5:.2f}" if share >= 0.0005 else "",
                    "text": f"{100 * share:.0f}" if share >= 0.005 else "",
                }
                for prediction, share in enumerate(shares[label])
            ],
        }
        for label, name in enumerate(names)
    ]


def _heat_map(shares: npt.NDArray[np.float64]) -> str:
    """The matrix as a picture, a pixel per cell: blue where right, red where wrong."""
    shade = np.sqrt(shares)[..., None]
    hit = np.eye(len(shares), dtype=bool)[..., None]
    color = np.where(hit, (47, 111, 222), (214, 69, 39))
    return png((255 + (color - 255) * shade).astype(np.uint8))


def _pictures(item: Scored, class_colors: Sequence[Color], ignore_label: int) -> dict[str, Any]:
    masks = (
        colors.color_image(item.labels, class_colors, ignore_label),
        colors.color_image(item.predictions, class_colors, ignore_label),
        colors.error_image(item.image, item.labels, item.predictions, ignore_label),
    )
    return {
        "image_id": item.image_id,
        "miou": rate(item.miou),
        # Enlarged by the page, such images are better seen as the pixels they are.
        "small": max(item.labels.shape) < 200,
        "pictures": [jpeg(item.image), png(masks[0]), png(masks[1]), jpeg(masks[2])],
    }
