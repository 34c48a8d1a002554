"""history.json and history.csv: the numbers of a run, for programs and for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deeplab import files

Row = dict[str, Any]

JSON_FILE = "history.json"
CSV_FILE = "history.csv"
_KINDS = ("train", "eval")


class History:
    """Rows of numbers by step, of training steps and of evaluations.

    history.json holds {"train": [{"step", "loss", ...}], "eval": [{"step", "miou", ...}]};
    history.csv one line per step, a column for each number, those of both kinds side by side. An
    IoU that is not defined is null there and empty here.
    """

    def __init__(self, model_dir: Path, *, step: int) -> None:
        """Continues what the folder holds, without what lies behind `step`."""
        self._folder = model_dir
        rows = _read(model_dir / JSON_FILE)
        self._rows = {kind: [row for row in rows[kind] if row["step"] <= step] for kind in _KINDS}

    @property
    def best_miou(self) -> float | None:
        """The best mean IoU so far; None before the first evaluation."""
        mious = [row["miou"] for row in self._rows["eval"]]
        return max((miou for miou in mious if miou is not None), default=None)

    def was_evaluated(self, step: int) -> bool:
        """Whether there is an evaluation of a step."""
        return any(row["step"] == step for row in self._rows["eval"])

    def add(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Adds a row to "train" or "eval"."""
        self._rows[kind].append({"step": step, **values})

    def write(self) -> None:
        """Replaces both files.

        Raises:
            DeepLabError: if they cannot be written.
        """
        files.write_text(self._folder / JSON_FILE, json.dumps(self._rows, indent=1) + "\n")
        files.write_text(self._folder / CSV_FILE, _table(self._rows))


def _read(path: Path) -> dict[str, list[Row]]:
    """The rows of a history; none if there is no file, or not one of ours."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            kind: [row for row in content[kind] if isinstance(row["step"], int)] for kind in _KINDS
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {kind: [] for kind in _KINDS}


def _table(rows: Mapping[str, list[Row]]) -> str:
    steps: dict[int, Row] = {}
    columns: dict[str, None] = {"step": None}  # in the order of their first use
    for kind in _KINDS:
        for row in rows[kind]:
            cells = _flat(row)
            columns.update(dict.fromkeys(cells))
            steps.setdefault(row["step"], {}).update(cells)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(steps[step] for step in sorted(steps))
    return text.getvalue()


def _flat(row: Row) -> Row:
    cells: Row = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            cells.update({f"{name}/{key}": inner for key, inner in value.items()})
        else:
            cells[name] = value
    return cells
