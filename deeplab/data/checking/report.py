"""What a check leaves: check.json, and the same as one web page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.data.checking.result import CheckResult, Example
from deeplab.data.checking.table import share_text, verdict
from deeplab.data.colors import IGNORE_COLOR, overlay
from deeplab.data.files.problems import KINDS, Problem
from deeplab.files import make_directory, missing_folders, remove_empty, write_text
from deeplab.page import css, jpeg, render_page


def check_json(result: CheckResult) -> str:
    """The text of check.json.

    {"ok": bool, "num_images": {split: n}, "class_pixels": {name: n}, "class_images": {name: n},
    "ignored_pixels": n, "mask_forms": {form: n}, "notes": [text], "problems": [{"kind", "file",
    "detail", "level": "error" or "warning"}]}. Counts are over all splits.
    """
    total = result.total
    content = {
        "ok": result.ok,
        "num_images": {name: tally.num_images for name, tally in result.splits.items()},
        "class_pixels": dict(zip(result.class_names, total.class_pixels.tolist(), strict=True)),
        "class_images": dict(zip(result.class_names, total.class_images.tolist(), strict=True)),
        "ignored_pixels": total.num_pixels - int(total.class_pixels.sum()),
        "mask_forms": dict(result.mask_forms),
        "notes": list(result.notes),
        "problems": [
            {
                "kind": problem.kind,
                "file": str(problem.file),
                "detail": problem.detail,
                "level": "warning" if problem.is_warning else "error",
            }
            for problem in result.problems
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_check(result: CheckResult, output_dir: Path) -> None:
    """Writes check.json and report.html into a folder, replacing those of an earlier check.

    Raises:
        DeepLabError: if the folder cannot be written.
    """
    texts = {"report.html": render_report(result), "check.json": check_json(result)}
    made = missing_folders(output_dir)
    try:
        make_directory(output_dir)
        for name, text in texts.items():
            write_text(output_dir / name, text)
    except BaseException:
        if made:  # a folder that is new is there with both files or not at all
            for name in texts:
                (output_dir / name).unlink(missing_ok=True)
        remove_empty(made)
        raise


_SHOWN = 50  # files of a kind
_SMALL = 200  # pixels; enlarged by the page, smaller images are better seen as the pixels they are


def render_report(result: CheckResult) -> str:
    """The page as HTML."""
    shown = {i for example in result.examples for i in np.unique(example.labels).tolist()}
    values = {
        "title": result.title,
        "facts": [
            f"{sum(tally.num_images for tally in result.splits.values())} images",
            f"{len(result.class_names)} classes",
            *(f"{form} masks: {count}" for form, count in result.mask_forms.items()),
        ],
        "ok": result.ok,
        "verdict": verdict(result),
        "notes": result.notes,
        "kinds": [
            _kind(result, kind, [item for item in result.problems if item.kind == kind])
            for kind in dict.fromkeys(item.kind for item in result.problems)
        ],
        "splits": _splits(result),
        "classes": _classes(result, shown),
        "examples": [_example(example, result) for example in result.examples],
        "ignored_shown": result.ignore_label in shown,
        "ignore_color": css(IGNORE_COLOR),
    }
    return render_page("deeplab.data.checking", "report.html.jinja", values)


def _kind(result: CheckResult, kind: str, problems: Sequence[Problem]) -> dict[str, Any]:
    return {
        "name": kind,
        "level": "warning" if all(problem.is_warning for problem in problems) else "error",
        "count": len(problems),
        "text": KINDS[kind],
        "shown": [result.shown(item) for item in problems[:_SHOWN]],
        "more": max(0, len(problems) - _SHOWN),
    }


def _splits(result: CheckResult) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "images": tally.num_images,
            "pixels": f"{tally.num_pixels:,}",
            "ignored": share_text(
                tally.num_pixels - int(tally.class_pixels.sum()), tally.num_pixels
            ),
            "classes": f"{np.count_nonzero(tally.class_pixels)} of {len(result.class_names)}",
        }
        for name, tally in result.splits.items()
    ]


def _classes(result: CheckResult, shown: set[int]) -> list[dict[str, Any]]:
    total = result.total
    labeled = int(total.class_pixels.sum())
    largest = max(1, int(total.class_pixels.max()))
    return [
        {
            "name": name,
            "color": css(color),
            "pixels": pixels,
            "pixel_bar": f"{100 * pixels / largest:.2f}",
            "share": share_text(pixels, labeled),
            "images": images,
            "image_bar": f"{100 * images / max(1, total.num_images):.2f}",
            "shown": index in shown,
        }
        for index, (name, color, pixels, images) in enumerate(
            zip(
                result.class_names,
                result.colors,
                total.class_pixels.tolist(),
                total.class_images.tolist(),
                strict=True,
            )
        )
    ]


def _example(example: Example, result: CheckResult) -> dict[str, Any]:
    painted = overlay(example.image, example.labels, result.colors, result.ignore_label)
    return {
        "name": example.name,
        "small": max(example.labels.shape) < _SMALL,
        "pictures": [jpeg(example.image), jpeg(painted)],
    }
