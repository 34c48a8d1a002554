"""The class list of a source folder: classes.json or classes.txt, and default colours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from deeplab.data.colors import IGNORE_LABEL, WIDE_IGNORE_LABEL, Color, ignore_label_of
from deeplab.data.files.mask_colors import ClassColors
from deeplab.data.files.masks import IdRule
from deeplab.data.files.text import is_line, parse_json, read_text, shown
from deeplab.errors import DeepLabError


@dataclasses.dataclass(frozen=True)
class ClassList:
    """Names of the classes in order of their ids.

    Attributes:
        names: unique, at least two.
        colors: an RGB colour (0..255) per class, or None if the source gives none.
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
    """Reads classes.json of a folder, or else its classes.txt.

    Raises:
        DeepLabError: if there is neither, or what is there is not a class list.
    """
    for name in ("classes.json", "classes.txt"):
        if (folder / name).is_file():
            return read_class_file(folder / name)
    raise DeepLabError(
        f"no classes.json or classes.txt in {folder}: write one class name a line, in the order "
        "of the ids, into classes.txt"
    )


def read_class_file(path: Path) -> ClassList:
    """Reads a class list.

    Args:
        path: a .json file `{"classes": [...], "colors": [[r, g, b], ...], "ignore": 255,
            "channels": 3}`, of which only "classes" is needed and other keys are left alone, or a
            text file with a name a line.

    Raises:
        DeepLabError: if it cannot be read or is not a class list.
    """
    text = read_text(path)
    if path.suffix.lower() != ".json":
        # At line ends alone: other characters that may end a line are none in a name.
        lines = text.rstrip().split("\n") if text.strip() else []
        names = _names([line.strip() for line in lines], path)
        return ClassList(names, ignore=ignore_label_of(len(names)))
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
            f'{path}: "colors" must be a list of {num_classes} colours, one a class; it is {found}'
        )
    for color in value:
        levels = color if isinstance(color, list) else []
        if len(levels) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in levels):
            raise DeepLabError(f"{path}: the colour {color!r} is not [red, green, blue] of 0..255")
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
