"""Which files weights were read from: their sizes and SHA-256 sums."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from deeplab.errors import DeepLabError
from deeplab.interop.report import FileRecord


def is_local(name: str) -> bool:
    """Whether a name is a file, a folder or the prefix of a checkpoint on this machine."""
    return os.path.exists(name) or os.path.exists(f"{name}.index")


def files_at(path: str) -> list[str]:
    """The files that a path means: itself, all of a folder, or those of a checkpoint's prefix."""
    if os.path.isdir(path):
        return sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
    if os.path.isfile(path):
        return [path]
    prefix = glob.escape(path)
    return sorted(glob.glob(f"{prefix}.index") + glob.glob(f"{prefix}.data-*"))


def records(paths: Iterable[str]) -> tuple[FileRecord, ...]:
    """Size and sum of files.

    Raises:
        DeepLabError: if one cannot be read.
    """
    return tuple(map(_record, paths))


def digest(files: Iterable[FileRecord]) -> str:
    """One SHA-256 sum for files, wherever they lie: that of a single one is its own."""
    found = list(files)
    if len(found) == 1:
        return found[0].sha256
    text = "".join(f"{os.path.basename(file.path)} {file.sha256}\n" for file in found)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _record(path: str) -> FileRecord:
    try:
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return FileRecord(path, os.fstat(file.fileno()).st_size, sha256)
    except OSError as error:
        raise DeepLabError(f"{path} cannot be read: {error.strerror}") from error
