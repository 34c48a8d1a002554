"""Reading a CSV or JSONL list of images and masks."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from deeplab.data.files.problems import Problem
from deeplab.data.files.text import composed, is_utf8, parse_json, read_text, shown
from deeplab.data.sources.classes import read_classes
from deeplab.data.sources.pairs import (
    LABEL_SUFFIXES,
    NearMisses,
    Pair,
    Source,
    image_suffixes,
    missing_mask,
    split_by_hash,
    splits_by_name,
)
from deeplab.errors import DeepLabError

_COLUMNS = ("image", "label", "split")
_NAMED = 8  # other columns in a note


def scan_list(path: Path) -> Source:
    """Reads a list with the columns image, label and optionally split, in any case.

    Args:
        path: a .csv file with a header, or a .jsonl file with an object per line. Paths in it are
            relative to its folder (or absolute), where classes.json or classes.txt is expected
            too. Names of splits are taken in lower case. Without the column split the images are
            split 90/10 by a hash of the name. Files that are named but do not exist become
            problems of the source; its note names the columns that are not read.

    Raises:
        DeepLabError: if the list is unreadable or empty, or a line makes no sense.
    """
    if not os.path.isfile(path):
        raise DeepLabError(f"the list {path} does not exist")
    classes = read_classes(path.parent)
    suffixes = image_suffixes(classes.channels)
    rows: list[tuple[str, Pair]] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, str], int] = {}
    unread: dict[str, None] = {}
    near = NearMisses()
    for number, row in _rows(path, unread):
        where = f"{path}, line {number}"
        image = _file(row, "image", path, where, suffixes)
        label = _file(row, "label", path, where, LABEL_SUFFIXES)
        split = row.get("split", "")
        pair = Pair(composed(Path(row["image"]).with_suffix("").as_posix()), image, label)
        if (split, pair.id) in seen:
            raise DeepLabError(
                f"{where}: {row['image']} is listed already in line {seen[split, pair.id]}"
            )
        seen[split, pair.id] = number
        # Of os, for names that are too long; what is no regular file is found when it is read.
        if not os.path.exists(image):
            detail = f"does not exist; {where} names it{near.hint(image)}"
            problems.append(Problem("missing_image", image, detail))
        elif not os.path.exists(label):
            why = f"{label}, which {where} names, does not exist"
            problems.append(missing_mask(image, why, label, near))
        else:
            rows.append((split, pair))
    if not seen:
        raise DeepLabError(f"the list {path} is empty")
    note = _unread_note(tuple(unread))
    if not any(split for split, _ in rows):
        pairs = [pair for _, pair in rows]
        splits, by_hash = split_by_hash(pairs, problems, "values in a column 'split'")
        note = "; ".join(filter(None, (by_hash, note)))
    else:
        for split, pair in rows:
            if not split:
                raise DeepLabError(f"{path}: {pair.id} has no split, others have one")
        splits = splits_by_name(rows, path)
    return Source(path, classes, splits, note, tuple(problems))


def _unread_note(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (
        f"columns that are not read: {', '.join(map(shown, names[:_NAMED]))}{more} "
        f"(read are {', '.join(_COLUMNS)})"
    )


def _rows(path: Path, unread: dict[str, None]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (line number, columns that are filled), and adds the names of others to `unread`."""
    text = read_text(path)
    # Lines end at line ends alone: names may hold other characters that could end one.
    rows = _json_rows if path.suffix.lower() == ".jsonl" else _csv_rows
    for number, cells in rows(path, text.split("\n")):
        row: dict[str, str] = {}
        for name, value in cells:
            key = name.strip().lower()
            if key not in _COLUMNS:
                unread[name.strip()] = None
            elif key in row:
                raise DeepLabError(f"{path}, line {number}: two columns are named {key}")
            elif value not in (None, ""):
                if not isinstance(value, str):
                    raise DeepLabError(
                        f"{path}, line {number}: {key} is {shown(value)}, expected text"
                    )
                row[key] = value
        yield number, row


def _csv_rows(path: Path, lines: list[str]) -> Iterator[tuple[int, Iterable[tuple[str, object]]]]:
    reader = csv.reader(f"{line}\n" for line in lines)
    begin = 1  # line that the row begins in
    try:
        columns = next(reader)
        missing = {"image", "label"}.difference(name.strip().lower() for name in columns)
        if missing:
            raise DeepLabError(
                f"{path}: the first line must name the columns image, label and optionally split; "
                f"it is {shown(lines[0])}"
            )
        begin = reader.line_num + 1
        for values in reader:
            if reader.line_num > begin and reader.line_num == len(lines):
                # Else an open quote makes one value of all that follows.
                next(csv.reader((f"{line}\n" for line in lines[begin - 1 :]), strict=True))
            if values:
                yield begin, zip(columns, map(str.strip, values), strict=False)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DeepLabError(
            f"{path}, line {begin} cannot be read: {error}; is a quote in it not closed?"
        ) from error


def _json_rows(path: Path, lines: list[str]) -> Iterator[tuple[int, Iterable[tuple[str, object]]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = parse_json(line, f"{path}, line {number}")
        if not isinstance(row, dict):
            raise DeepLabError(f'{path}, line {number}: expected {{"image": ..., "label": ...}}')
        yield number, row.items()


def _file(
    row: dict[str, str], column: str, path: Path, where: str, suffixes: tuple[str, ...]
) -> Path:
    if column not in row:
        raise DeepLabError(f"{where}: no {column}")
    if "\0" in row[column] or not is_utf8(row[column]):
        raise DeepLabError(f"{where}: the {column} {shown(row[column])} cannot name a file")
    file = _as_stored(path.parent / row[column])
    if file.suffix.lower() not in suffixes:
        raise DeepLabError(
            f"{where}: the {column} {shown(row[column])} is not {' or '.join(suffixes)}"
        )
    return file


def _as_stored(file: Path) -> Path:
    """The file itself, or the one whose name has its accents in another form (NFC or NFD)."""
    if str(file).isascii():
        return file
    forms = (Path(unicodedata.normalize(form, str(file))) for form in ("NFC", "NFD"))
    return next((other for other in (file, *forms) if os.path.exists(other)), file)
