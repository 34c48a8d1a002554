"""Paths as people write them, and as TensorFlow reads them."""

from __future__ import annotations

import atexit
import glob
import os
import re
import shutil
import tempfile
from pathlib import Path

from deeplab.errors import DeepLabError


def expand_home(path: str | os.PathLike[str]) -> str:
    """A path with the home folder for `~` or `~NAME` at its beginning.

    Raises:
        DeepLabError: if that home is not known; a folder of the name `~` would be made else.
    """
    text = os.path.expanduser(os.fspath(path))
    if text.startswith("~"):
        name = text.split(os.sep)[0]
        raise DeepLabError(
            f"{text}: the home folder {name} is not known; write the whole path, or ./{name} for "
            "what has that very name"
        )
    return text


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Whether there is a character in a path by which TensorFlow or TFDS take it for a pattern."""
    return re.search(r"[*?\[\]\\]", os.path.abspath(path)) is not None


def for_reading(path: str | os.PathLike[str]) -> str:
    """A path under which TensorFlow reads a folder, or a checkpoint of that prefix.

    TensorFlow takes the paths that it reads for patterns and knows no escape from that: under
    `run[1]` or `a\\b` it finds nothing, whatever it wrote there. Such a path is replaced by that of
    links in a temporary folder, which stays to the end of the process: of a checkpoint the data
    are opened when they are needed.
    """
    text = os.path.abspath(path)
    if not is_pattern(text):
        return os.fspath(path)
    place = tempfile.mkdtemp(prefix="deeplab.")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    link = os.path.join(place, "link")
    for found in glob.iglob(f"{glob.escape(text)}*"):  # a prefix is the beginning of several files
        Path(link + found.removeprefix(text)).symlink_to(found)
    return link
