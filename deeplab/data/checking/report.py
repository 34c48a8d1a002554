"""The result of a check: a text for a terminal, check.json, and a web page that needs no other."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.data.checking.result import CheckResult, Example, SplitTally, class_weights
from deeplab.data.colors import IGNORE_COLOR, overlay
from deeplab.data.files.problems import KINDS, Problem
from deeplab.files import make_directory, missing_folders, remove_empty, write_text
from deeplab.page import css, jpeg, render_page
from deeplab.table import WIDTH, class_table

# Files of a kind that are shown.
_SHOWN_IN_TEXT = 5
_SHOWN_ON_PAGE = 50
_SMALL = 200  # pixels; enlarged by the page, smaller images are better seen as the pixels they are


def render_check(result: CheckResult) -> str:
    """Splits, classes, problems and the verdict, 80 columns wide, ending with a newline."""
    total = result.total
    splits = [f"{name} {tally.num_images}" for name, tally in result.splits.items()]
    lines = [f"{result.title}: {', '.join(splits) or 'no'} images", ""]
    lines += [_class_table(result.class_names, total), ""]
    lines += [line for note in result.notes for line in _wrapped(f"note: {note}")]
    lines += [""] if result.notes else []
    for kind, level, problems in _kinds(result):
        lines += _wrapped(f"{level}: {kind}, {len(problems)} x {KINDS[kind]}")
        for problem in problems[:_SHOWN_IN_TEXT]:
            lines += _wrapped(": ".join(result.shown(problem)), indent="  ")
        more = len(problems) - _SHOWN_IN_TEXT
        lines += [f"  and {more} more", ""] if more > 0 else [""]
    lines.append(_verdict(result))
    return "\n".join(lines) + "\n"


def render_statistics(result: CheckResult, split: str) -> str:
    """The classes of a split with their weights, as wide, ending with a newline."""
    tally = result.splits[split]
    weights = class_weights(tally)
    lines = [f"{result.title}, split {split}: {tally.num_images} images", ""]
    lines += [_class_table(result.class_names, tally, weights), ""]
    absent = [
        name
        for name, count in zip(result.class_names, tally.class_pixels, strict=True)
        if not count
    ]
    if absent:
        lines += _wrapped(f"never in this split, weight 1: {', '.join(absent)}")
    return "\n".join(lines) + "\n"


def _verdict(result: CheckResult) -> str:
    warnings = sum(problem.is_warning for problem in result.problems)
    errors = len(result.problems) - warnings
    remark = f", {warnings} warnings" if warnings else ""
    return f"ok{remark}" if result.ok else f"not ok: {errors} errors{remark}"


def _share(part: int, whole: int) -> str:
    """A part as percent; a dash if there is no whole."""
    return f"{100 * part / whole:.2f} %" if whole else "-"


def _class_table(
    names: Sequence[str], tally: SplitTally, weights: Sequence[float] | None = None
) -> str:
    labeled = int(tally.class_pixels.sum())
    rows = []
    for index, name in enumerate(names):
        pixels = int(tally.class_pixels[index])
        row = [str(index), name, f"{pixels:,}", _share(pixels, labeled)]
        row.append(str(tally.class_images[index]))
        rows.append([*row, *([f"{weights[index]:.4g}"] if weights else [])])
    ignored = tally.num_pixels - labeled
    rows.append(["", "ignored", f"{ignored:,}", f"{_share(ignored, tally.num_pixels)} of all"])
    return class_table(("pixels", "share", "images", *(["weight"] if weights else [])), rows)


def _kinds(result: CheckResult) -> Iterator[tuple[str, str, list[Problem]]]:
    """Each kind of problem, "warning" or "error", and the problems, which lie by kind."""
    for kind, group in itertools.groupby(result.problems, lambda problem: problem.kind):
        problems = list(group)
        yield kind, "warning" if all(p.is_warning for p in problems) else "error", problems


def _wrapped(text: str, indent: str = "") -> list[str]:
    # A file's name is never broken, so that it can be copied.
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


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
    texts = {"report.html": _render_page(result), "check.json": check_json(result)}
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


def _render_page(result: CheckResult) -> str:
    shown = {i for example in result.examples for i in np.unique(example.labels).tolist()}
    values = {
        "title": result.title,
        "facts": [
            f"{sum(tally.num_images for tally in result.splits.values())} images",
            f"{len(result.class_names)} classes",
            *(f"{form} masks: {count}" for form, count in result.mask_forms.items()),
        ],
        "ok": result.ok,
        "verdict": _verdict(result),
        "notes": result.notes,
        "kinds": [
            {
                "name": kind,
                "level": level,
                "count": len(problems),
                "text": KINDS[kind],
                "shown": [result.shown(item) for item in problems[:_SHOWN_ON_PAGE]],
                "more": max(0, len(problems) - _SHOWN_ON_PAGE),
            }
            for kind, level, problems in _kinds(result)
        ],
        "splits": [
            {
                "name": name,
                "images": tally.num_images,
                "pixels": f"{tally.num_pixels:,}",
                "ignored": _share(
                    tally.num_pixels - int(tally.class_pixels.sum()), tally.num_pixels
                ),
                "classes": f"{np.count_nonzero(tally.class_pixels)} of {len(result.class_names)}",
            }
            for name, tally in result.splits.items()
        ],
        "classes": _classes(result, shown),
        "examples": [_example(example, result) for example in result.examples],
        "ignored_shown": result.ignore_label in shown,
        "ignore_color": css(IGNORE_COLOR),
    }
    return render_page("deeplab.data.checking", "report.html.jinja", values)


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
            "share": _share(pixels, labeled),
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
