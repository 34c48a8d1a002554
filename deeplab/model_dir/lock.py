"""One trainer a model folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from deeplab.errors import DeepLabError
from deeplab.progress import warn

FILE_NAME = ".lock"


@contextlib.contextmanager
def exclusive(model_dir: str | Path, work: str = "trains") -> Iterator[None]:
    """Holds the lock of a folder; the operating system frees it when the process ends.

    A file system that cannot lock is warned of, and the work goes on. After an error that left
    nothing else in the folder, the lock's file goes as well.

    Args:
        model_dir: the folder.
        work: what the process does there, for the message.

    Raises:
        DeepLabError: if another process holds it, or the folder cannot be written.
    """
    path = Path(model_dir) / FILE_NAME
    with _open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(model_dir, work) from error
        except OSError as error:
            warn(
                f"{path} cannot be locked ({error.strerror}): nothing will keep a second process "
                f"from training in {model_dir}"
            )
        if not _is_still(file, path):
            # Whoever held it removed the file between our opening and locking it.
            raise _taken(model_dir, work)
        try:
            yield
        except BaseException:
            if os.listdir(model_dir) == [FILE_NAME]:
                path.unlink()
            raise


def _open(path: Path) -> TextIO:
    try:
        return path.open("w")
    except OSError as error:
        raise DeepLabError(f"cannot write {path}: {error.strerror}") from error


def _is_still(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _taken(model_dir: str | Path, work: str) -> DeepLabError:
    return DeepLabError(
        f"another process {work} in {model_dir}; wait for it or choose another --model_dir"
    )
