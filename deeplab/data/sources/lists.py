"""Reading a CSV or JSONL list of images and masks."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from deeplab.data.files.problems import Problem
from deeplab.data.files.text import is_utf8, parse_json, read_text, shown
from deeplab.data.sources.classes import read_classes
from deeplab.data.sources.pairs import (
    LABEL_SUFFIXES,
    Pair,
    Source,
    image_suffixes,
    split_by_hash,
    split_names,
    split_order,
)
from deeplab.errors import DeepLabError

_COLUMNS = ("image", "label", "split")


def scan_list(path: Path) -> Source:
    """Reads a list with the columns image, label and optionally split.

    Args:
        path: a .csv file with a header, or a .jsonl file with an object a line. Paths in it are
            relative to its folder (or absolute), where classes.json or classes.txt is expected
            too. Names of splits are taken in lower case. Without the column split the images are
            split 90/10 by a hash of the name. Files that are named but do not exist become
            problems of the source.

    Raises:
        DeepLabError: if the list is unreadable or empty, or a line makes no sense.
    """
    if not os.path.isfile(path):
        raise DeepLabError(f"the list {path} does not exist")
    classes = read_classes(path.parent)
    suffixes = image_suffixes(classes.channels)
    rows: list[tuple[Pair, str]] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, str], int] = {}
    for number, row in _rows(path):
        where = f"{path}, line {number}"
        image = _file(row, "image", path, where, suffixes)
        label = _file(row, "label", path, where, LABEL_SUFFIXES)
        split = row.get("split", "")
        pair = Pair(Path(row["image"]).with_suffix("").as_posix(), image, label)
        if (split, pair.id) in seen:
            raise DeepLabError(
                f"{where}: {row['image']} is listed already in line {seen[split, pair.id]}"
            )
        seen[split, pair.id] = number
        missing = _missing(pair, where)
        if missing:
            problems.append(missing)
        else:
            rows.append((pair, split))
    if not seen:
        raise DeepLabError(f"the list {path} is empty")
    if not any(split for _, split in rows):
        pairs = tuple(pair for pair, _ in rows)
        if problems and len(pairs) < 2:  # too few to split, and not to be used anyway
            splits = {"train": pairs} if pairs else {}
            return Source(path, classes, splits, problems=tuple(problems))
        return Source(path, classes, *split_by_hash(pairs), tuple(problems))
    groups: dict[str, list[Pair]] = {}
    for pair, split in rows:
        if not split:
            raise DeepLabError(f"{path}: {pair.id} has no split, others have one")
        groups.setdefault(split, []).append(pair)
    splits = {name: tuple(groups[split]) for split, name in split_names(groups, path).items()}
    return Source(
        path,
        classes,
        {split: splits[split] for split in sorted(splits, key=split_order)},
        problems=tuple(problems),
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (line number, columns that are filled)."""
    text = read_text(path)
    # Lines end at line ends alone: names may hold other characters that could end one.
    rows = _json_rows if path.suffix.lower() == ".jsonl" else _csv_rows
    return rows(path, text.split("\n"))


def _csv_rows(path: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(f"{line}\n" for line in lines)
    begin = 1  # line that the row begins in
    try:
        columns = next(reader)
        missing = {"image", "label"}.difference(columns)
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
            row = dict(zip(columns, values, strict=False))
            if row:
                yield begin, {key: row[key].strip() for key in _COLUMNS if row.get(key)}
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DeepLabError(
            f"{path}, line {begin} cannot be read: {error}; is a quote in it not closed?"
        ) from error


def _json_rows(path: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = parse_json(line, f"{path}, line {number}")
        if not isinstance(row, dict):
            raise DeepLabError(f'{path}, line {number}: expected {{"image": ..., "label": ...}}')
        values = {key: row[key] for key in _COLUMNS if row.get(key) not in (None, "")}
        for key, value in values.items():
            if not isinstance(value, str):
                raise DeepLabError(f"{path}, line {number}: {key} is {shown(value)}, expected text")
        yield number, values


def _file(
    row: dict[str, str], column: str, path: Path, where: str, suffixes: tuple[str, ...]
) -> Path:
    if column not in row:
        raise DeepLabError(f"{where}: no {column}")
    if "\0" in row[column] or not is_utf8(row[column]):
        raise DeepLabError(f"{where}: the {column} {shown(row[column])} cannot name a file")
    file = path.parent / row[column]
    if file.suffix.lower() not in suffixes:
        raise DeepLabError(
            f"{where}: the {column} {shown(row[column])} is not {' or '.join(suffixes)}"
        )
    return file


def _missing(pair: Pair, where: str) -> Problem | None:
    # Of os, for names that are too long; what is no regular file is found when it is read.
    if not os.path.exists(pair.image):
        return Problem("missing_image", pair.image, f"does not exist; {where} names it")
    if not os.path.exists(pair.label):
        return Problem(
            "missing_mask",
            pair.image,
            f"has no mask: {pair.label}, which {where} names, does not exist",
        )
    return None
