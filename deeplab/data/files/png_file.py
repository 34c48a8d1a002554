"""Whether a PNG file is whole.

Pillow does not look at the checksums of the pixels and fills rows that are not there with zeros, so
that a damaged mask would become other class ids, and a damaged image a record that TensorFlow's
decoder refuses in training.

Source of the format: W3C, Portable Network Graphics (Third Edition), sections 5, 8.2 and 11.2.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# TensorFlow's decoder takes no wider and no higher ones.
MAX_SIDE = 1_000_000

_KNOWN_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# First column and row of each pass of an interlaced file, and the steps to the next ones.
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_PIECE = 2**16  # bytes of a file that are inflated at once
_INFLATED = 2**20  # bytes that one call gives at most, whatever the file says


class DamagedPng(ValueError):
    """A PNG file that is not whole; the message does not name it."""


def check_png(data: bytes) -> None:
    """Makes sure that a PNG file holds all that it announces, and that its checksums are right.

    Args:
        data: the file's bytes, which begin with the signature. What follows the last chunk is
            not looked at.

    Raises:
        DamagedPng: if it is cut, a checksum is wrong, rows are missing, or it has chunks that
            decoders must refuse.
    """
    header = palette = b""
    pieces: list[bytes] = []
    last = b""
    for kind, content in _chunks(data):
        if (kind == b"IHDR") != (not last):
            raise DamagedPng("the file is damaged: its header is not the first chunk alone")
        if kind == b"IHDR":
            header = content
        elif kind == b"PLTE":
            if palette or pieces or not content or len(content) % 3 or len(content) > 768:
                raise DamagedPng("the file is damaged: its palette is not in order")
            palette = content
        elif kind == b"IDAT":
            if pieces and last != b"IDAT":
                raise DamagedPng("the file is damaged: its pixels are in two places")
            pieces.append(content)
        last = kind
    _check_pixels(pieces, _num_bytes(header))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields (type, content) up to the last chunk, checksums compared."""
    view = memoryview(data)
    place = len(SIGNATURE)
    kind = b""
    while kind != b"IEND":
        if len(data) < place + 12:
            raise DamagedPng("the file is truncated: it has no last chunk")
        length = int.from_bytes(view[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        end = place + 8 + length
        if len(data) < end + 4:
            raise DamagedPng(f"the file is truncated within the chunk {_shown(kind)}")
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise DamagedPng(f"the file is damaged: wrong checksum in the chunk {_shown(kind)}")
        # A capital says that the image cannot be shown without it.
        if not (kind.isalpha() and kind.isascii()) or (
            kind[:1].isupper() and kind not in _KNOWN_CRITICAL
        ):
            raise DamagedPng(f"the file has an unknown chunk {_shown(kind)}, which it needs")
        yield kind, data[place + 8 : end]
        place = end + 4


def _shown(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace")


def _num_bytes(header: bytes) -> int:
    """How many bytes the pixels have before they are deflated, a filter byte a row included."""
    if len(header) != 13:
        raise DamagedPng("the file is damaged: its header has another length")
    width, height, bits, color_type, deflated, filtered, interlaced = struct.unpack(
        ">IIBBBBB", header
    )
    if max(width, height) > MAX_SIDE:
        raise DamagedPng(
            f"it has {width}x{height} pixels (width x height), more than {MAX_SIDE} a side: cut it "
            "into tiles"
        )
    if color_type not in _CHANNELS:
        raise DamagedPng(f"the file is damaged: there is no colour type {color_type}")
    if deflated or filtered or interlaced > 1:
        raise DamagedPng("the file is damaged: its pixels are stored in no known way")
    total = 0
    for left, top, step, step_down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns = -(-(width - left) // step)
        rows = -(-(height - top) // step_down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits * _CHANNELS[color_type] // 8))
    return total


def _check_pixels(pieces: list[bytes], expected: int) -> None:
    """Inflates the pixels, without keeping them; more than is needed is passed over."""
    inflate = zlib.decompressobj()
    found = 0
    try:
        for piece in pieces:
            for start in range(0, len(piece), _PIECE):
                rest = piece[start : start + _PIECE]
                while rest and not inflate.eof and found <= expected + _INFLATED:
                    found += len(inflate.decompress(rest, _INFLATED))
                    rest = inflate.unconsumed_tail
    except zlib.error as error:
        raise DamagedPng("the file is damaged: its pixels cannot be inflated") from error
    if found < expected or not inflate.eof:
        raise DamagedPng(
            f"the file is truncated or damaged: its pixels are {found} bytes, expected {expected}"
        )
