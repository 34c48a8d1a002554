"""Opening files that may be anything, and image files with Pillow.

A pipe would be waited for without end and a device read; absurdly large images are refused before
they are decoded.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from deeplab.data.files.problems import FileError, Problem
from deeplab.errors import DeepLabError

# Width times height of the largest image that is decoded: 16384 x 16384, 0.8 GB as RGB.
MAX_PIXELS = 2**28

# What Pillow raises for chunks and segments that do not hold what they should.
_MALFORMED = (IndexError, KeyError, TypeError, EOFError, OverflowError, zlib.error, struct.error)
# What it raises for files that it cannot read: not an image, truncated, broken.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, *_MALFORMED)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk, the same in every file
_PNG_BIT_DEPTH = 24  # offset in the file, whose first chunk is IHDR
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
_OPENING = threading.Lock()

# Pillow refuses a PNG file for 1 MB of text or color profile in one chunk, which editors write and
# TensorFlow reads. Its bound on all chunks together, 64 MB, holds for one as well; it is read
# whenever a chunk is, behind the pixels too, so it cannot be lifted for the header alone.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


class TooLarge(DeepLabError):
    """An image with more than `MAX_PIXELS` pixels; the message gives its size, not its name."""


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


def open_image(data: bytes) -> Image.Image:
    """Reads the header of an image file; pixels are decoded when they are asked for.

    Args:
        data: the file's bytes.

    Raises:
        TooLarge: if it has more than `MAX_PIXELS` pixels.
        OSError, ValueError: as listed in `UNREADABLE`, if it is no image that Pillow knows.
    """
    if not data:
        raise OSError("the file is empty (0 bytes)")
    # Pillow's own limit is a third of ours and a warning, which nobody could tell apart from
    # others; it is a setting of the whole process, so it is lifted for the header alone.
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if image.width * image.height > MAX_PIXELS:
        raise TooLarge(
            f"it has {image.width}x{image.height} pixels (width x height), more than the "
            f"{MAX_PIXELS} that are read: cut it into tiles"
        )
    return image


def load_pixels(image: Image.Image, data: bytes) -> None:
    """Decodes what `open_image` opened; rows that are missing in a PNG file become zeros.

    Args:
        image: the image, which holds its pixels afterwards.
        data: the file's bytes.

    Raises:
        OSError, ValueError: as listed in `UNREADABLE`, if the file is truncated or damaged.
    """
    if image.format == "PNG":
        # Decoding alone compares no checksums of pixels and does without the end of the file.
        with open_image(data) as chunks:
            chunks.verify()
        if _PNG_END not in data:
            raise OSError("the file is truncated: it has no last chunk")
    image.load()


def upright(image: Image.Image) -> tuple[Image.Image, bool]:
    """Turns an image as the orientation of its EXIF says; no pixel gets another value.

    Args:
        image: decoded.

    Returns:
        The image and whether it was turned; if not, it is the same one.

    Raises:
        OSError, ValueError: as listed in `UNREADABLE`, if its EXIF is damaged.
    """
    if image.getexif().get(_ORIENTATION, 1) not in range(2, 9):
        return image, False
    return ImageOps.exif_transpose(image), True


@contextlib.contextmanager
def reading(what: str, path: Path) -> Iterator[None]:
    """Runs a block that reads a file, which a message calls `what`: "the image", "the mask".

    Raises:
        FileError: instead of an error of `UNREADABLE` and `TooLarge`.
    """
    try:
        yield
    except FileError:
        raise
    except (TooLarge, *UNREADABLE) as error:
        why = _what_is_wrong(error)
        problem = Problem("unreadable", path, why)
        raise FileError(problem, f"cannot read {what} {path}: {why}") from error


def _what_is_wrong(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"  # Pillow names an object in memory
    if "MAX_TEXT" in str(error):
        size = PngImagePlugin.MAX_TEXT_MEMORY >> 20
        return f"the file holds more than {size} MB of metadata (text or color profile): remove it"
    if isinstance(error, (SyntaxError, *_MALFORMED)):
        return f"the file is damaged ({error})"
    return str(error) or type(error).__name__


def png_bit_depth(data: bytes) -> int:
    """Bits per channel of a PNG file (1..16), 0 if it is none."""
    return data[_PNG_BIT_DEPTH] if data.startswith(PNG_SIGNATURE) and len(data) > 32 else 0
