"""How a process of a job ends when another one is gone."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

from deeplab.errors import DeepLabError, Terminated


def end_process(code: int, line: str) -> None:
    """Ends the process at once.

    The main thread may be inside TensorFlow, waiting for a worker that is gone; an orderly exit
    would wait for it, and TensorFlow's servers for each other.
    """
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h")  # a progress bar hides the cursor
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"deeplab: {line}\n".encode())
    os._exit(code)


def exit_without_waiting(error: BaseException) -> None:
    """Makes the process end with the code of an error as soon as Python has finished.

    After a failure TensorFlow's servers would wait for those of workers that are gone, for half a
    minute and more. So would the objects in the frames of the error, if they were freed before.
    """

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(exit_code(error))

    atexit.register(leave)


def exit_code(error: BaseException) -> int:
    """The exit code that a command ends with after this error."""
    return {Terminated: 143, KeyboardInterrupt: 130}.get(type(error), 1)


def as_error(code: int, line: str) -> BaseException:
    """The error that makes a command end with this code and line."""
    return {143: Terminated(line), 130: KeyboardInterrupt(line)}.get(code, DeepLabError(line))
