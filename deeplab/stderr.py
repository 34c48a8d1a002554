"""Standard error without what libraries write to it by themselves."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def stderr_held_back(*, shown_after_error: bool = True) -> Iterator[None]:
    """Keeps what is written to file descriptor 2, also by C++, from the terminal.

    Args:
        shown_after_error: whether it appears after all if there is an error that nobody foresaw.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except Exception:  # not Ctrl-C or SIGTERM, of which there is nothing to explain
            sys.stderr.flush()
            os.dup2(terminal, 2)
            held_back.seek(0)
            if shown_after_error:
                os.write(2, held_back.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
