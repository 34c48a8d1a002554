"""The result of a check as text for a terminal, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from deeplab.data.checking.result import CheckResult, SplitTally, class_weights
from deeplab.data.files.problems import KINDS, Problem
from deeplab.table import WIDTH, class_table

_SHOWN = 5  # files of a kind


def render_check(result: CheckResult) -> str:
    """Splits, classes, problems and the verdict, ending with a newline."""
    total = result.total
    splits = [f"{name} {tally.num_images}" for name, tally in result.splits.items()]
    lines = [f"{result.title}: {', '.join(splits) or 'no'} images", ""]
    lines += [_class_table(result.class_names, total), ""]
    lines += [line for note in result.notes for line in _wrapped(f"note: {note}")]
    lines += [""] if result.notes else []
    for kind in dict.fromkeys(problem.kind for problem in result.problems):
        lines += _kind_lines(result, kind, [p for p in result.problems if p.kind == kind])
    lines.append(verdict(result))
    return "\n".join(lines) + "\n"


def render_statistics(result: CheckResult, split: str) -> str:
    """The classes of a split with their weights, ending with a newline."""
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


def verdict(result: CheckResult) -> str:
    """Whether the data can be trained on, in a few words."""
    warnings = sum(problem.is_warning for problem in result.problems)
    errors = len(result.problems) - warnings
    remark = f", {warnings} warnings" if warnings else ""
    return f"ok{remark}" if result.ok else f"not ok: {errors} errors{remark}"


def share_text(part: int, whole: int) -> str:
    """A part as percent; a dash if there is no whole."""
    return f"{100 * part / whole:.2f} %" if whole else "-"


def _class_table(
    names: Sequence[str], tally: SplitTally, weights: Sequence[float] | None = None
) -> str:
    labeled = int(tally.class_pixels.sum())
    rows = []
    for index, name in enumerate(names):
        pixels = int(tally.class_pixels[index])
        row = [str(index), name, f"{pixels:,}", share_text(pixels, labeled)]
        row.append(str(tally.class_images[index]))
        rows.append([*row, *([f"{weights[index]:.4g}"] if weights else [])])
    ignored = tally.num_pixels - labeled
    rows.append(["", "ignored", f"{ignored:,}", f"{share_text(ignored, tally.num_pixels)} of all"])
    return class_table(("pixels", "share", "images", *(["weight"] if weights else [])), rows)


def _kind_lines(result: CheckResult, kind: str, problems: Sequence[Problem]) -> list[str]:
    word = "warning" if all(problem.is_warning for problem in problems) else "error"
    lines = _wrapped(f"{word}: {kind}, {len(problems)} x {KINDS[kind]}")
    for problem in problems[:_SHOWN]:
        lines += _wrapped(": ".join(result.shown(problem)), indent="  ")
    more = len(problems) - _SHOWN
    return [*lines, *([f"  and {more} more"] if more > 0 else []), ""]


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
