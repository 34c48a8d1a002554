"""Naming the file that lies where another one was expected: NAME.jpg.png, NAME_mask.png, NAME.tif.

Such a file is never taken for the one that is missing; the message says what to do with it.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from deeplab.data.files.text import composed

# Where the name of an image may end in that of a file that belongs to it.
_END_OF_NAME = re.compile(r"\.|[_-](?=mask|label|seg|gt|anno)", re.IGNORECASE)


class NearMisses:
    """Looks for files of almost the expected name; a folder is read once, and only if needed."""

    def __init__(self) -> None:
        """Has read no folder yet."""
        self._files_of = functools.cache(_files_of)

    def hint(self, expected: Path, image: Path | None = None) -> str:
        """What is there in place of a file and what to do with it, or "".

        Args:
            expected: the file that is not there.
            image: in whose folder a mask may lie as well; None: an image is expected. An array is
                none unless classes.json says so.
        """
        for place in (expected, image):
            if place is None:
                continue
            for file in self._files_of(place.parent).get(composed(expected.stem).casefold(), ()):
                if file != image and (image or file.suffix.lower() != ".npy"):
                    return f"; {file} is there: {_advice(file, expected)}"
        return ""


def _files_of(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder that may belong to a name, by that name in lower case."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    found: dict[str, list[Path]] = {}
    for name in names:
        key = composed(name).casefold()
        for end in _END_OF_NAME.finditer(key):
            found.setdefault(key[: end.start()], []).append(folder / name)
    return found


def _advice(file: Path, expected: Path) -> str:
    if file.suffix.lower() == ".json":
        return "polygons, as of labelme, are drawn into an index mask by their own tool"
    if file.suffix.lower() == expected.suffix:
        return f"rename it {expected.name}"
    return f"save it as {expected.name}, with the same values"
