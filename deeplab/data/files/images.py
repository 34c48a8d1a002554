"""Image files as people have them: their pixels, and the bytes that a record holds of them."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from deeplab.data.files.channels import RGB, decode_channels, packed
from deeplab.data.files.decode import check_png, decode_image
from deeplab.data.files.opening import (
    PNG_SIGNATURE,
    load_pixels,
    open_image,
    read_bytes,
    reading,
    upright,
)
from deeplab.data.files.problems import FileError, Problem

_JPEG_SIGNATURE = b"\xff\xd8\xff"

# Images of 10, 12 or 14 bits lie in 16 bits as they are, and would be almost black.
_TOP_OF_14_BITS = 2**14 - 1


class Picture(NamedTuple):
    """An image.

    Attributes:
        pixels: uint8 [H, W, C], upright; of 3 channels RGB.
        is_turned: whether the orientation of EXIF was applied.
    """

    pixels: npt.NDArray[np.uint8]
    is_turned: bool


@dataclasses.dataclass(frozen=True)
class EncodedImage:
    """An image as a record holds it.

    Attributes:
        data: the bytes of a JPEG or PNG file that TensorFlow decodes to the pixels of the image;
            for another number of channels than 3, of the PNG file that `packed` makes.
        height: of the image, in pixels.
        width: of the image, in pixels.
        is_turned: whether the orientation of EXIF was applied.
    """

    data: bytes
    height: int
    width: int
    is_turned: bool = False


def read_image(path: Path, channels: int = RGB) -> EncodedImage:
    """Reads an image file for a record.

    The bytes of a JPEG or PNG file are kept where TensorFlow decodes them to the pixels that
    `decode_picture` sees; all others become PNG.

    Args:
        path: the file.
        channels: as of `decode_picture`.

    Raises:
        FileError: as `decode_picture`, or if a PNG file is one that TensorFlow cannot decode.
    """
    with reading("the image", path):
        data = read_bytes(path)
    pixels, is_turned = decode_picture(data, path, channels)
    height, width = pixels.shape[:2]
    if channels == RGB and _decodes_to(data, pixels):
        return EncodedImage(data, height, width)
    # What becomes of the pixels hides any damage of the file.
    _check(data, path)
    if channels != RGB:
        return EncodedImage(packed(pixels), height, width)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return EncodedImage(file.getvalue(), height, width, is_turned)


def sound_picture(data: bytes, path: Path, channels: int = RGB) -> Picture:
    """What `decode_picture` gives, of a file that `read_image` takes.

    Raises:
        FileError: as `read_image`.
    """
    picture = decode_picture(data, path, channels)
    _check(data, path)
    return picture


def decode_picture(data: bytes, path: Path, channels: int = RGB, *, wide: bool = False) -> Picture:
    """Decodes an image file with Pillow, as people see it.

    The orientation of EXIF is applied; grey, palette and CMYK images are converted, transparency
    is dropped, colors of 16 bits become 8, and of an animation the first picture counts.

    Args:
        data: the file's bytes.
        path: where they came from, for the message.
        channels: 3, or more, which `decode_channels` takes as they are.
        wide: whether 16 bits of grey become 8 too, if the upper two are used; what is white in a
            set of such images cannot be known.

    Raises:
        FileError: if it is unreadable, truncated or has more than `MAX_PIXELS` pixels, has more
            than 8 bits of grey, or not as many channels as were asked for, if these are not 3.
    """
    if channels != RGB:
        return Picture(decode_channels(data, path, channels), is_turned=False)
    with reading("the image", path), open_image(data) as file:
        load_pixels(file, data)
        image, is_turned = upright(file)
        if image.mode[0] == "F" or (image.mode[0] == "I" and not wide):
            detail = f"has more than 8 bits a channel (mode {image.mode}): convert it to 8 bits"
            raise FileError(Problem("unreadable", path, detail), f"the image {path} {detail}")
        if image.mode[0] == "I":  # Pillow's own conversion clips at 255
            image = Image.fromarray(_8_bits(np.asarray(image, np.int64), path))
        elif image.mode == "P":
            # Straight to RGB, Pillow warns about palettes with transparency.
            image = image.convert("RGBA")
        return Picture(np.asarray(image.convert("RGB")), is_turned)


def _8_bits(levels: npt.NDArray[np.int64], path: Path) -> npt.NDArray[np.uint8]:
    levels = np.clip(levels, 0, 65535)
    if 0 < (top := levels.max()) <= _TOP_OF_14_BITS:
        detail = (
            f"has 16 bits a channel, but no level above {top} of 65535: what is white in it is not "
            "known; convert it to 8 bits"
        )
        raise FileError(Problem("unreadable", path, detail), f"the image {path} {detail}")
    return ((levels + 128) // 257).astype(np.uint8)


def _decodes_to(data: bytes, pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether TensorFlow decodes a JPEG or PNG file to these pixels."""
    if not data.startswith((_JPEG_SIGNATURE, PNG_SIGNATURE)):
        return False
    try:
        return np.array_equal(decode_image(tf.constant(data)), pixels)
    except tf.errors.OpError:
        return False


def _check(data: bytes, path: Path) -> None:
    if data.startswith(PNG_SIGNATURE):
        with reading("the image", path):
            check_png(data)
