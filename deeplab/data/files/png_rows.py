"""Whether a PNG file holds all of its rows: Pillow reads zeros where they are missing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from deeplab.data.files.opening import PNG_SIGNATURE

_HEADER = struct.Struct(">IIBBBBB")
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type
# First row, first column and distances of the pixels of a pass, by the way of interlacing. Source:
# PNG specification, section 8 (Adam7).
_PASSES = {
    0: ((0, 0, 1, 1),),
    1: (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ),
}


def check_rows(data: bytes) -> None:
    """Makes sure that a PNG file is complete and of a kind that decoders agree on.

    Args:
        data: the file's bytes, whose checksums are right.

    Raises:
        ValueError: if it is not; the message does not name the file.
    """
    chunks = list(_chunks(data))
    unknown = [kind for kind, _ in chunks if kind[:1].isupper() and kind not in _CRITICAL]
    width, height, bits, color_type, _, _, interlaced = _HEADER.unpack(chunks[0][1])
    if unknown or color_type not in _CHANNELS or interlaced not in _PASSES:
        raise ValueError("the file is damaged: it is of no kind of PNG that there is")
    expected = 0
    for row, column, down, right in _PASSES[interlaced]:
        rows, columns = -((row - height) // down), -((column - width) // right)
        if rows > 0 and columns > 0:
            # Each row begins with the number of its filter.
            expected += rows * (1 + (columns * bits * _CHANNELS[color_type] + 7) // 8)
    pixels = b"".join(content for kind, content in chunks if kind == b"IDAT")
    found = len(zlib.decompressobj().decompress(pixels, expected))
    if found < expected:
        raise ValueError(f"the file is truncated: it has {found} of {expected} bytes of pixels")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, offset)
        yield kind, data[offset + 8 : offset + 8 + length]
        offset += 12 + length
