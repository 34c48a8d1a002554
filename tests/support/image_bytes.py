"""Image files made byte by byte: what Pillow does not write, and bytes of what it does."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from deeplab.data.colors import default_colors
from deeplab.data.files.opening import PNG_SIGNATURE

# The kind of a chunk of a PNG file, and its content.
Chunk = tuple[bytes, bytes]


def png_file(*chunks: Chunk) -> bytes:
    """A PNG file with right checksums, whatever is in it."""
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def png_header(
    width: int, height: int, *, bits: int = 8, color_type: int = 0, interlaced: int = 0
) -> Chunk:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, interlaced)


def png_of_rows(header: Chunk, rows: bytes, extra: Sequence[Chunk] = ()) -> bytes:
    """A PNG file of a header, further chunks, and rows of which each begins with its filter."""
    return png_file(header, *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


def empty_png(width: int, height: int, color_type: int = 2) -> bytes:
    """A PNG file that says how large it is and holds no pixels."""
    return png_file(
        png_header(width, height, color_type=color_type), (b"IDAT", b""), (b"IEND", b"")
    )


def encoded(
    pixels: np.ndarray, file_format: str = "PNG", mode: str | None = None, **options: object
) -> bytes:
    """The file that Pillow writes, of another mode if one is given."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    image.convert(mode or image.mode).save(file, file_format, **options)
    return file.getvalue()


def save_palette(
    path: Path, mask: np.ndarray, colors: Sequence[tuple[int, int, int]] = default_colors(256)
) -> Path:
    """Saves a mask as VOC ships its own: indices into a palette of colors."""
    image = Image.fromarray(mask)
    image.putpalette([level for color in colors for level in color])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def orientation(value: int) -> Image.Exif:
    """EXIF data that say how to turn an image: 3 upside down, 6 by 90 degrees clockwise."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif
