"""What is installed only with an extra of this package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from deeplab.errors import DeepLabError


@contextlib.contextmanager
def needs_extra(extra: str, what: object) -> Iterator[None]:
    """Turns a failed import into the line that says how to get the package.

    Args:
        extra: a key of the optional dependencies in pyproject.toml.
        what: that cannot be read without it, for the message.

    Raises:
        DeepLabError: if a module imported inside is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise DeepLabError(
            f"{what} needs the package {error.name}, which is not installed: "
            f"pip install 'deeplab[{extra}]'"
        ) from error
