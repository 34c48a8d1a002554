"""Reads the JSON file of a dense prediction cell (`dense_prediction_cell_json` of the original)."""

from __future__ import annotations

import json
from pathlib import Path

from deeplab import checks
from deeplab.errors import DeepLabError
from deeplab.models.dense_prediction_cell import CITYSCAPES_CELL, Branch, check_branches

# Files that lie beside the code of the original (its folder core/), and so need not be there.
_OF_THE_ORIGINAL = {"dense_prediction_cell_branch5_top1_cityscapes.json": CITYSCAPES_CELL}
_KEYS = ("op", "kernel", "rate", "input")


def read_cell(path: str) -> tuple[Branch, ...]:
    """The rows of a cell.

    Args:
        path: a JSON list of rows such as {"op": "conv", "kernel": 3, "rate": [1, 6], "input": -1};
            the rate may be absent where the kernel is 1. A file that is not there and has the name
            of the original's own is that one.

    Raises:
        DeepLabError: if the file cannot be read or holds something else; "pyramid_pooling", an
            operation of the original that its released cell does not use, is such a thing.
    """
    name = Path(path).name
    if name in _OF_THE_ORIGINAL and not Path(path).exists():
        return _OF_THE_ORIGINAL[name]
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeepLabError(f"{path}: no readable JSON file: {error}") from error
    if not isinstance(rows, list):
        raise DeepLabError(f"{path} must be a list of objects with {', '.join(_KEYS)}")
    return check_branches(path, [_row(f"{path}: row {i}", row) for i, row in enumerate(rows)])


def _row(name: str, row: object) -> tuple[object, object, object]:
    if not isinstance(row, dict):
        raise DeepLabError(f"{name} must be an object with {', '.join(_KEYS)}, not {row!r}")
    checks.one_of(f"{name}: op", row.get("op"), ["conv"])
    for key in row:
        checks.one_of(f"{name}: key", key, _KEYS)
    kernel = row.get("kernel")
    return kernel, row.get("rate", (1, 1) if kernel == 1 else None), row.get("input")
