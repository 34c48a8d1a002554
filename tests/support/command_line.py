"""Types of the fixtures that run command lines, and what they compare."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# Arguments -> exit code, standard output, standard error.
Command = Callable[..., tuple[int, str, str]]
# Arguments and the exit code that is expected -> the one line on standard error.
Refused = Callable[..., str]


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, except the lock files, which hold nothing."""
    return {
        os.fsdecode(path): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name != ".lock"
    }
