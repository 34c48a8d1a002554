"""Pictures side by side with headings and a legend of class colors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from deeplab.data.colors import IGNORE_COLOR, Color

Pixels = npt.NDArray[np.uint8]

_MARGIN = 6  # pixels, around everything
_LINE = 18  # height of a line of text
_TEXT = 13  # size of its letters
_SWATCH = 12
_SMALLEST_COLUMN = 160  # smaller pictures are enlarged, or the headings would not fit
_MOST_ENTRIES = 40


class Entry(NamedTuple):
    """A line of a legend."""

    name: str
    color: Color


def legend(
    ids: Iterable[npt.NDArray[np.integer]],
    class_names: Sequence[str],
    colors: Sequence[Color],
    ignore_label: int,
) -> list[Entry]:
    """The classes that occur in some label images, the most frequent first, "ignored" last."""
    size = max(len(class_names), ignore_label + 1)
    counts = np.zeros(size, np.int64)
    for image in ids:
        counts += np.bincount(image.ravel(), minlength=size)
    found = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
    entries = [
        Entry(class_names[index], colors[index])
        for index in found
        if index < len(class_names) and index != ignore_label
    ]
    if len(entries) > _MOST_ENTRIES:
        entries[_MOST_ENTRIES:] = [Entry(f"and {len(entries) - _MOST_ENTRIES} more", (255,) * 3)]
    return entries + [Entry("ignored", IGNORE_COLOR)] * bool(counts[ignore_label])


def sheet(
    rows: Sequence[Sequence[Pixels]], headings: Sequence[str], entries: Sequence[Entry]
) -> Pixels:
    """Puts pictures into a table with a legend below.

    Args:
        rows: of pictures uint8 [H, W, 3], all of one size, as many in a row as headings.
        headings: of the columns.
        entries: the legend.

    Returns:
        uint8 [H, W, 3] on white.
    """
    factor = max(1, -(-_SMALLEST_COLUMN // rows[0][0].shape[1]))
    height, width = (factor * side for side in rows[0][0].shape[:2])
    font = ImageFont.load_default(_TEXT)
    across = _MARGIN + len(headings) * (width + _MARGIN)
    places = list(_places(entries, font, across))
    top = _LINE + _MARGIN + len(rows) * (height + _MARGIN)
    bottom = max((y for _, y in places), default=-_LINE) + _LINE + _MARGIN
    canvas = Image.new("RGB", (across, top + bottom), "white")
    draw = ImageDraw.Draw(canvas)
    for column, heading in enumerate(headings):
        left = _MARGIN + column * (width + _MARGIN)
        draw.text((left, _MARGIN // 2), heading, fill="black", font=font)
        for row, pictures in enumerate(rows):
            picture = Image.fromarray(pictures[column]).resize(
                (width, height), Image.Resampling.NEAREST
            )
            canvas.paste(picture, (left, _LINE + _MARGIN + row * (height + _MARGIN)))
    for (x, y), entry in zip(places, entries, strict=True):
        box = (x, top + y + 3, x + _SWATCH, top + y + 3 + _SWATCH)
        draw.rectangle(box, fill=entry.color, outline="black")
        draw.text((x + _SWATCH + 4, top + y), entry.name, fill="black", font=font)
    return np.asarray(canvas)


def _places(
    entries: Sequence[Entry], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, across: int
) -> Iterable[tuple[int, int]]:
    """Where each entry goes, in lines from left to right."""
    x, y = _MARGIN, 0
    for entry in entries:
        length = _SWATCH + 4 + int(font.getlength(entry.name)) + 14
        if x > _MARGIN and x + length > across:
            x, y = _MARGIN, y + _LINE
        yield x, y
        x += length
