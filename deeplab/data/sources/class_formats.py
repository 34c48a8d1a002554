"""Class lists in text, CSV and YAML files, as other tools write them too.

Each function takes the text of a file and gives the names of the classes in order of their ids, and
the colors if the file states them. What is none of these formats is refused: a header or the label
"ignore" that became class 0 would shift every name. `classes` judges the names.

1. Names, one per line; in labelme's labels.txt `__ignore__` is the first, its id -1, and in the
   masks 255. https://github.com/wkentaro/labelme
2. CVAT's labelmap.txt, `name:red,green,blue:parts:actions`, whose masks are in these colors.
   https://docs.cvat.ai/docs/dataset_management/formats/format-smask
3. Roboflow's _classes.csv, with the columns Pixel Value and Class.
4. YOLO's data.yaml, whose `names:` is a list, or a map from id to name.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from deeplab.data.files.text import shown
from deeplab.errors import DeepLabError

Listed = tuple[Sequence[object], list[object] | None]

_IGNORE = "__ignore__"
_LABELMAP_LINE = re.compile(r"([^:]+):([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}):[^:]*:[^:]*")
_NUMBER_FIRST = re.compile(r"[0-9]+[\s,:;]")
_COLUMNS = ["pixel value", "class"]


def of_text(text: str, path: Path) -> Listed:
    """Reads a name per line, or a label map of CVAT.

    Raises:
        DeepLabError: if it holds anything else.
    """
    # At line ends alone: other characters that may end a line are none in a name.
    lines = [line.strip() for line in text.rstrip().split("\n")] if text.strip() else []
    if any(line.count(":") == 3 for line in lines):
        return _of_labelmap(lines, path)
    if _IGNORE in lines[1:]:
        raise DeepLabError(
            f"{path}, line {lines.index(_IGNORE, 1) + 1}: {_IGNORE} must be the first, as in "
            "labelme, whose ids begin with -1"
        )
    if lines and all(_NUMBER_FIRST.match(line) for line in lines):
        raise DeepLabError(
            f"{path} has numbers before the names, such as {shown(lines[0])}: write the names "
            "alone, one per line, in the order of the ids from 0"
        )
    return [line for line in lines if line != _IGNORE], None


def _of_labelmap(lines: Sequence[str], path: Path) -> Listed:
    names: list[object] = []
    colors: list[object] = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        match = _LABELMAP_LINE.fullmatch(line)
        if match is None:
            raise DeepLabError(
                f"{path}, line {number} is {shown(line)}, expected name:red,green,blue:parts:"
                "actions, as the other lines and CVAT have it"
            )
        name, *levels = match.groups()
        names.append(name)
        colors.append([int(level) for level in levels])
    return names, colors


def of_table(text: str, path: Path) -> Listed:
    """Reads a CSV file with the columns Pixel Value and Class.

    Raises:
        DeepLabError: if it has other columns, or its ids are not 0, 1, 2, ...
    """
    lines = text.split("\n")
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    try:
        rows = [[cell.strip() for cell in row] for row in reader if row]
    except csv.Error as error:
        raise DeepLabError(f"{path}, line {reader.line_num} cannot be read: {error}") from error
    if not rows or [cell.lower() for cell in rows[0]] != _COLUMNS:
        raise DeepLabError(
            f"{path}: the first line is {shown(lines[0])}, expected Pixel Value, Class, "
            "as Roboflow writes it; names alone belong into a .txt file"
        )
    for row in rows[1:]:
        if len(row) != 2:
            raise DeepLabError(f"{path}: the row {shown(row)} is no Pixel Value, Class")
    return _by_id([(row[0], row[1]) for row in rows[1:]], path), None


def of_yaml(text: str, path: Path) -> Listed:
    """Reads the key `names` of a YAML file.

    Raises:
        DeepLabError: if there is none, or its ids are not 0, 1, 2, ...
    """
    try:
        # It makes texts, lists and maps and nothing else: a class may be called `no`, or `1`.
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise DeepLabError(
            f"{path} cannot be read as YAML: {' '.join(str(error).split())}"
        ) from error
    except RecursionError as error:
        raise DeepLabError(f"{path}: the brackets are nested too deeply") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = {str(index): name for index, name in enumerate(names)}
    # Anything else is not even shown: a few nested aliases stand for more than fits into memory.
    if isinstance(names, dict) and all(isinstance(name, str) for name in names.values()):
        return _by_id(names.items(), path), None
    raise DeepLabError(
        f"{path}: expected names: [name, ...] or names: {{0: name, ...}}, as in YOLO's data.yaml"
    )


def _by_id(rows: Iterable[tuple[object, object]], path: Path) -> list[object]:
    rows = list(rows)
    names = dict(rows)
    ids = [str(index) for index in range(len(rows))]
    if set(ids) != names.keys():
        raise DeepLabError(
            f"{path}: the ids must be 0..{len(rows) - 1}, each once; they are "
            f"{shown(', '.join(str(id_) for id_, _ in rows))}"
        )
    return [names[id_] for id_ in ids]
