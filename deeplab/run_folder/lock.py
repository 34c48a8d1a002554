"""One trainer a model folder."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from deeplab.errors import DeepLabError

FILE_NAME = ".lock"


@contextlib.contextmanager
def exclusive(model_dir: str | Path) -> Iterator[None]:
    """Holds the lock of a folder; the operating system frees it when the process ends.

    Raises:
        DeepLabError: if another process holds it, or the folder cannot be written.
    """
    path = Path(model_dir) / FILE_NAME
    try:
        lock = path.open("w")
    except OSError as error:
        raise DeepLabError(f"cannot write {path}: {error.strerror}") from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DeepLabError(
                f"another process trains in {model_dir}; wait for it or choose another --model_dir"
            ) from error
        yield
