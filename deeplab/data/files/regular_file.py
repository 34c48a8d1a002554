"""Reading files that may be anything: a pipe would be waited for without end, a device read."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def state_of(path: Path) -> os.stat_result:
    """What the file system knows of a regular file, symbolic links followed.

    Raises:
        OSError: with the reason alone as text, if it is not there or no regular file.
    """
    try:
        state = path.stat()
    except OSError as error:
        if path.is_symlink():
            raise OSError(f"is a symbolic link to {os.readlink(path)}: {error.strerror}") from error
        raise OSError(error.strerror or str(error)) from error
    if not stat.S_ISREG(state.st_mode):
        raise OSError("is not a regular file")
    return state


def read_bytes(path: Path) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: as `state_of`, or if it cannot be read.
    """
    state_of(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise OSError(error.strerror or str(error)) from error
