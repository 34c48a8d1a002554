"""A served model turns photographs as Pillow does, whatever their headers say."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from deeplab.export.exif import orientation, upright

DATA = tf.TensorSpec([], tf.string)
read = tf.function(orientation, input_signature=[DATA])
turn = tf.function(
    lambda image, data: upright(image, orientation(data)),
    input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), DATA],
)
PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def tiff(value: int, *, order: str, kind: str = "H", count: int = 1, before: int = 0) -> bytes:
    """EXIF data with an orientation and other entries before it, in either byte order."""
    code = {"H": 3, "I": 4}[kind]
    entries = [struct.pack(order + "HHI4x", 0x0100 + i, 3, 1) for i in range(before)]
    field = struct.pack(order + kind, value).ljust(4, b"\0")
    entries.append(struct.pack(order + "HHI", 0x0112, code, count) + field)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    """A JPEG file with segments of one's own before Pillow's."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG")
    data = file.getvalue()
    return data[:2] + b"".join(segments) + data[2:]


def exif(data: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + data)


def by_pillow(data: bytes) -> np.ndarray:
    """What Pillow makes of `PIXELS` if they are the picture of that file."""
    image = Image.fromarray(PIXELS)
    image.info["exif"] = Image.open(io.BytesIO(data)).info.get("exif", b"")
    return np.asarray(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("value", range(10))
def test_all_orientations_in_both_byte_orders(value: int, order: str) -> None:
    for data in (
        jpeg(exif(tiff(value, order=order))),
        jpeg(exif(tiff(value, order=order, kind="I", before=3))),
    ):
        np.testing.assert_array_equal(turn(PIXELS, data), by_pillow(data))
    assert read(data) == (value if 1 <= value <= 8 else 1)


@pytest.mark.parametrize("value", range(1, 9))
def test_png_files_say_it_too(value: int) -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", exif=b"Exif\0\0" + tiff(value, order=">"))
    assert read(file.getvalue()) == value
    np.testing.assert_array_equal(turn(PIXELS, file.getvalue()), by_pillow(file.getvalue()))


def test_where_exif_stands() -> None:
    found = exif(tiff(6, order="<"))
    xmp, comment = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"), segment(0xFE, b"Exif\0\0")
    assert read(jpeg(xmp, comment, found)) == 6
    assert read(jpeg(b"\xff\xff\xff" + found)) == 6  # fill bytes
    assert read(jpeg() + found) == 1  # behind the picture
    assert read(jpeg(*[segment(0xFE, b"")] * 300, found)) == 1
    assert read(jpeg()) == 1


def test_damaged_headers_are_upright() -> None:
    whole = tiff(6, order="<")
    for data in (
        tiff(6, order="<", count=2),
        b"XX" + whole[2:],
        whole[:2] + b"\x2b\0" + whole[4:],  # BigTIFF
        whole[:4] + b"\xff\xff\xff\xff" + whole[8:],  # a directory far away
        whole[:8],
        b"",
    ):
        assert read(jpeg(exif(data))) == 1
    assert read(jpeg(exif(whole[:8] + b"\xff\xff" + whole[10:]))) == 6  # too many entries
    for data in (b"", b"\xff", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\0Exif\0\0", b"\x89PNG"):
        assert read(data) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_bytes_are_an_error(data: st.DataObject) -> None:
    whole = jpeg(exif(tiff(6, order=data.draw(st.sampled_from("<>")), before=2)))
    changed = bytearray(whole[: data.draw(st.integers(0, 120))])
    for _ in range(data.draw(st.integers(0, 4)) if changed else 0):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert 1 <= read(bytes(changed)) <= 8
