"""Text files that somebody wrote: lists and class lists."""

from __future__ import annotations

import codecs
import io
import json
import unicodedata
from pathlib import Path

from deeplab.errors import DeepLabError

# Control characters, halves of characters, and what separates lines and paragraphs.
_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")
_SHOWN = 60  # characters of a value
_BOMS_OF_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    r"""The text of a file in UTF-8, or in UTF-16 that a byte order mark begins.

    Other encodings cannot be told from each other, and a wrong guess changes names.

    Returns:
        The text without the byte order mark; lines end in \n.

    Raises:
        DeepLabError: if it cannot be read, or is in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DeepLabError(f"cannot read {path}: {error.strerror}") from error
    # A mark that nothing follows is no text.
    encoding = "utf-16" if data[:2] in _BOMS_OF_UTF_16 and data[2:] else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        why = f"line {line} holds the byte 0x{data[error.start]:02x}"
        raise _other_encoding(path, why) from error
    if "\0" in text:  # UTF-16 without its mark is UTF-8 with a zero for every other character
        raise _other_encoding(path, "it holds zero bytes")
    return io.StringIO(text, newline=None).read()


def _other_encoding(path: Path, why: str) -> DeepLabError:
    return DeepLabError(
        f"{path} is not a text file in UTF-8 ({why}): save it with the encoding UTF-8, which "
        "editors and spreadsheets offer where the file is saved"
    )


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


def composed(name: str) -> str:
    """A name in the form NFC: some systems store a letter and its accent apart (NFD)."""
    return unicodedata.normalize("NFC", name)


def shown(value: object) -> str:
    """A value for a message, quoted and shortened if it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
