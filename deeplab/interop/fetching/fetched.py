"""What fetching weights gives."""

from __future__ import annotations

from typing import NamedTuple

from deeplab.errors import DeepLabError


class Fetched(NamedTuple):
    """Weights that lie on this machine.

    Attributes:
        path: the file or folder, or the prefix of a checkpoint.
        revision: the commit of the repository that they came from; None: of no repository.
        lines: what the user should know of it.
    """

    path: str
    revision: str | None = None
    lines: tuple[str, ...] = ()


class NoNetworkError(DeepLabError):
    """A server cannot be asked what is new; what was imported before may do instead.

    Attributes:
        why: it cannot, in words.
    """

    def __init__(self, message: str, why: str) -> None:
        """Like any error, and with the reason alone."""
        super().__init__(message)
        self.why = why
