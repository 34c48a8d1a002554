"""Types of the fixtures that run command lines."""

from __future__ import annotations

from collections.abc import Callable

# Arguments -> exit code, standard output, standard error.
Command = Callable[..., tuple[int, str, str]]
# Arguments and the exit code that is expected -> the one line on standard error.
Refused = Callable[..., str]
