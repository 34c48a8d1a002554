"""The errors that a user can cause, each one line that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DeepLabError(ValueError):
    """Bad content: a file, a setting or a value that cannot be used.

    The message is one line for the user: it names the file, the value and the choices. The
    command line prints it and exits with 1.
    """


class Terminated(BaseException):
    """SIGTERM arrived. Not an `Exception`, so that only those who must save something catch it."""


def unknown_name(kind: str, value: object, names: Iterable[str]) -> DeepLabError:
    """An error for a name that is not in a table, with the nearest name and all choices.

    Args:
        kind: what the name stands for, such as "backbone".
        value: what was given.
        names: what could have been given.
    """
    choices = sorted(names)
    near = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return DeepLabError(f"unknown {kind} {value!r}{hint} choices: {', '.join(choices)}")
