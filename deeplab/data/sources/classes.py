"""The class list of a source folder: classes.json, classes.txt or another tool's; its colors.

The formats of text, CSV and YAML files follow. What is none of them is refused: a header or the
label "ignore" that became class 0 would shift every name.

1. Names, one per line; in labelme's labels.txt `__ignore__` is the first, its id -1, and in the
   masks 255. https://github.com/wkentaro/labelme
2. CVAT's labelmap.txt, `name:red,green,blue:parts:actions`, whose masks are in these colors.
   https://docs.cvat.ai/docs/dataset_management/formats/format-smask
3. Roboflow's _classes.csv, with the columns Pixel Value and Class.
4. YOLO's data.yaml, whose `names:` is a list, or a map from id to name.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from deeplab.data.colors import IGNORE_LABEL, WIDE_IGNORE_LABEL, Color, ignore_label_of
from deeplab.data.files.mask_ids import ClassColors, IdRule
from deeplab.data.files.text import is_line, parse_json, read_text, shown
from deeplab.errors import DeepLabError

# What a source folder's list may be called; if there are several, the first one counts.
_FILE_NAMES = (
    "classes.json",
    "classes.txt",
    "labels.txt",
    "labelmap.txt",
    "_classes.csv",
    "data.yaml",
)

# Names, and colors if the file states them.
_Listed = tuple[Sequence[object], list[object] | None]

_IGNORE = "__ignore__"
_LABELMAP_LINE = re.compile(r"([^:]+):([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}):[^:]*:[^:]*")
_NUMBER_FIRST = re.compile(r"[0-9]+[\s,:;]")
_COLUMNS = ["pixel value", "class"]


@dataclasses.dataclass(frozen=True)
class ClassList:
    """Names of the classes in order of their ids.

    Attributes:
        names: unique, at least two.
        colors: an RGB color (0..255) per class, or None if the source gives none.
        ignore: the id that means "no class" in the source's masks. It may be an id of the list;
            that class then stays in the list and no pixel carries it.
        channels: of the images, at least 3, of which the first are red, green and blue.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...] | None = None
    ignore: int = IGNORE_LABEL
    channels: int = 3

    @property
    def ignore_label(self) -> int:
        """The id of ignored pixels after preparation: 255, or 65535 if 255 can be a class."""
        return ignore_label_of(len(self.names))

    @property
    def id_rule(self) -> IdRule:
        """Which ids and colors the source's masks may hold."""
        return IdRule(len(self.names), self.ignore, ClassColors(self.colors))


def read_classes(folder: Path) -> ClassList:
    """Reads the class list of a folder: classes.json, or else classes.txt, or else another tool's.

    Raises:
        DeepLabError: if there is none, what is there is not a class list, or two of them disagree.
    """
    paths = [folder / name for name in _FILE_NAMES if (folder / name).is_file()]
    if not paths:
        raise DeepLabError(
            f"no classes.json or classes.txt in {folder}: write one class name per line, in the "
            f"order of the ids, into classes.txt ({', '.join(_FILE_NAMES[2:])} are read as well)"
        )
    first, *others = [read_class_file(path) for path in paths]
    for path, other in zip(paths[1:], others, strict=True):
        _check_agreement(first, other, f"{paths[0]} and {path}")
    return first


def read_class_file(path: Path) -> ClassList:
    """Reads a class list.

    Args:
        path: a .json file `{"classes": [...], "colors": [[r, g, b], ...], "ignore": 255,
            "channels": 3}`, of which only "classes" is needed and other keys are left alone, or a
            text, CSV or YAML file in a format of this module, such as a name per line.

    Raises:
        DeepLabError: if it cannot be read or is not a class list.
    """
    suffix = path.suffix.lower()
    if suffix != ".json" and suffix not in _FORMATS:
        raise DeepLabError(f"{path} is no class list: it must end in .json, {', '.join(_FORMATS)}")
    text = read_text(path)
    if suffix in _FORMATS:
        values, colors = _FORMATS[suffix](text, path)
        names = _names(values, path)
        return ClassList(names, _colors(colors, len(names), path), ignore_label_of(len(names)))
    content = parse_json(text, str(path))
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise DeepLabError(f'{path}: expected {{"classes": ["name", ...]}}, a list of class names')
    names = _names(content["classes"], path)
    return ClassList(
        names,
        colors=_colors(content.get("colors"), len(names), path),
        ignore=_ignore(content.get("ignore"), len(names), path),
        channels=_channels(content.get("channels"), path),
    )


def _check_agreement(one: ClassList, other: ClassList, where: str) -> None:
    if len(one.names) != len(other.names):
        what = f"they list {len(one.names)} and {len(other.names)} classes"
    elif one.names != other.names:
        id_ = next(i for i, name in enumerate(one.names) if name != other.names[i])
        what = f"class {id_} is {shown(one.names[id_])} and {shown(other.names[id_])}"
    elif one.colors and other.colors and one.colors != other.colors:
        id_ = next(i for i, color in enumerate(one.colors) if color != other.colors[i])
        what = f"the color of class {id_} is {one.colors[id_]} and {other.colors[id_]}"
    else:
        return
    raise DeepLabError(f"{where} disagree: {what}; keep the one that describes the masks")


def _names(values: Sequence[object], path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for index, value in enumerate(values):
        if not isinstance(value, str) or not value.strip():
            raise DeepLabError(
                f"{path}: the name of class {index} is {shown(value)}, expected text"
            )
        if not is_line(value):
            raise DeepLabError(
                f"{path}: the name of class {index}, {shown(value)}, has a control character or "
                "the end of a line in it"
            )
        if value in names:
            raise DeepLabError(
                f"{path}: the classes {names.index(value)} and {index} are both named "
                f"{shown(value)}"
            )
        names.append(value)
    if len(names) < 2:
        raise DeepLabError(
            f"{path} lists {len(names)} class(es), at least 2 are needed: "
            "the background is a class too"
        )
    if len(names) > WIDE_IGNORE_LABEL:
        raise DeepLabError(f"{path} lists {len(names)} classes, at most {WIDE_IGNORE_LABEL}")
    return tuple(names)


def _colors(value: object, num_classes: int, path: Path) -> tuple[Color, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != num_classes:
        found = f"{len(value)} of them" if isinstance(value, list) else repr(value)
        raise DeepLabError(
            f'{path}: "colors" must be a list of {num_classes} colors, one per class; it is {found}'
        )
    for color in value:
        levels = color if isinstance(color, list) else []
        if len(levels) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in levels):
            raise DeepLabError(f"{path}: the color {color!r} is not [red, green, blue] of 0..255")
    return tuple((red, green, blue) for red, green, blue in value)


def _ignore(value: object, num_classes: int, path: Path) -> int:
    if value is None:
        return ignore_label_of(num_classes)
    if type(value) is not int or not 0 <= value <= WIDE_IGNORE_LABEL:
        raise DeepLabError(f'{path}: "ignore" must be an id of 0..65535, not {value!r}')
    return value


def _channels(value: object, path: Path) -> int:
    if value is None:
        return 3
    if type(value) is not int or value < 3:
        raise DeepLabError(
            f'{path}: "channels" must be the number of channels of the images, 3 (red, green and '
            f"blue) or more, not {value!r}"
        )
    return value


def _of_text(text: str, path: Path) -> _Listed:
    """Reads a name per line, or a label map of CVAT."""
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


def _of_labelmap(lines: Sequence[str], path: Path) -> _Listed:
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


def _of_table(text: str, path: Path) -> _Listed:
    """Reads a CSV file with the columns Pixel Value, which must be 0, 1, 2, ..., and Class."""
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


def _of_yaml(text: str, path: Path) -> _Listed:
    """Reads the key `names` of a YAML file, whose ids must be 0, 1, 2, ..."""
    import yaml  # which not every command needs that knows of class lists

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


_FORMATS = {".txt": _of_text, ".csv": _of_table, ".yaml": _of_yaml, ".yml": _of_yaml}
