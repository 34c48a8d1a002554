"""Text files that somebody wrote: lists and class lists."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

from deeplab.errors import DeepLabError

# Control characters, halves of characters, and what separates lines and paragraphs.
_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")
_SHOWN = 60  # characters of a value


def read_text(path: Path) -> str:
    r"""The text of a UTF-8 file, without a byte order mark; lines end in \n.

    Raises:
        DeepLabError: if it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DeepLabError(f"cannot read {path}: {error}") from error


def parse_json(text: str, where: str) -> object:
    """What a JSON text says.

    Args:
        text: the text.
        where: where it stands, for the message.

    Raises:
        DeepLabError: if it is not JSON, or nothing that can be read.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DeepLabError(f"{where} is not JSON: {error}") from error
    except RecursionError as error:
        raise DeepLabError(f"{where}: the brackets are nested too deeply") from error
    except ValueError as error:  # Python's limit against slow conversions
        raise DeepLabError(f"{where}: a number has too many digits") from error


def is_line(text: str) -> bool:
    """Whether a text has no control characters and can stand in a line of a UTF-8 file."""
    return not any(unicodedata.category(character) in _NO_TEXT for character in text)


def is_utf8(text: str) -> bool:
    """Whether a text can be stored: Python keeps other bytes of a name as halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """A value for a message, quoted and shortened if it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
