"""The pixels of image files as people have them, decoded by Pillow and numpy alone."""

from __future__ import annotations

import io
import math
import tokenize
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from deeplab.data.files.opening import (
    MAX_PIXELS,
    PNG_SIGNATURE,
    TooLarge,
    load_pixels,
    open_image,
    png_bit_depth,
    read_bytes,
    reading,
    upright,
)
from deeplab.data.files.png_rows import check_rows
from deeplab.data.files.problems import FileError, Problem

RGB = 3

# Images of 10, 12 or 14 bits lie in 16 bits as they are, and would be almost black.
_TOP_OF_14_BITS = 2**14 - 1

# TensorFlow decodes PNG files of at most so many columns and pixels.
_MAX_COLUMNS = 1_000_000
_MAX_VALUES = 2**29 - 1

_NPY_SIGNATURE = b"\x93NUMPY"
# What numpy raises for headers that it cannot parse: they are Python text.
_DAMAGED_HEADER = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError)
_SHOWN = 40  # characters of a type
_MOST_AXES = 6
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

Pixels = npt.NDArray[np.uint8]


class Picture(NamedTuple):
    """An image.

    Attributes:
        pixels: uint8 [H, W, C], upright; of 3 channels RGB.
        is_turned: whether the orientation of EXIF was applied.
    """

    pixels: Pixels
    is_turned: bool


def read_pixels(path: Path, channels: int = RGB) -> Pixels:
    """Reads an image for a network, uint8 [H, W, channels]; 16 bits of gray may be used.

    Raises:
        FileError: as `decode_picture`, or if rows are missing in a PNG file.
    """
    with reading("the image", path):
        data = read_bytes(path)
    picture = decode_picture(data, path, channels, wide=True)
    if data.startswith(PNG_SIGNATURE):
        with reading("the image", path):
            check_rows(data)
    return picture.pixels


def decode_picture(data: bytes, path: Path, channels: int = RGB, *, wide: bool = False) -> Picture:
    """Decodes an image file with Pillow, as people see it.

    The orientation of EXIF is applied; gray, palette and CMYK images are converted, transparency
    is dropped, colors of 16 bits become 8, and of an animation the first picture counts.

    Args:
        data: the file's bytes.
        path: where they came from, for the message.
        channels: 3, or more, which `decode_channels` takes as they are.
        wide: whether 16 bits of gray become 8 too, if the upper two are used; what is white in a
            set of such images cannot be known.

    Raises:
        FileError: if it is unreadable, truncated or has more than `MAX_PIXELS` pixels, has more
            than 8 bits of gray, or not as many channels as were asked for, if these are not 3.
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


def _8_bits(levels: npt.NDArray[np.int64], path: Path) -> Pixels:
    levels = np.clip(levels, 0, 65535)
    if 0 < (top := levels.max()) <= _TOP_OF_14_BITS:
        detail = (
            f"has 16 bits a channel, but no level above {top} of 65535: what is white in it is not "
            "known; convert it to 8 bits"
        )
        raise FileError(Problem("unreadable", path, detail), f"the image {path} {detail}")
    return ((levels + 128) // 257).astype(np.uint8)


def decode_channels(data: bytes, path: Path, channels: int) -> Pixels:
    """Decodes an image file of more than three channels; all of them are data.

    Args:
        data: the file's bytes: a .npy file of uint8 [H, W, channels]; for four channels also an
            RGBA PNG file of 8 bits, which is taken as it is: alpha is no transparency, and an
            orientation of EXIF does not apply.
        path: where they came from, for the message.
        channels: more than 3.

    Returns:
        uint8 [H, W, channels].

    Raises:
        FileError: if it is unreadable, truncated or too large, or has another number of channels
            or other values.
    """
    with reading("the image", path):
        if data.startswith(_NPY_SIGNATURE):
            return _decode_npy(data, path, channels)
        with open_image(data) as image:
            bits = png_bit_depth(data)
            if channels != 4 or (image.format, image.mode, bits) != ("PNG", "RGBA", 8):
                kind = f"{image.format}, {f'{bits} bits, ' if bits > 8 else ''}{image.mode}"
                raise _refused(path, f"has {len(image.getbands())} channels ({kind})", channels)
            _check_size(image.height, image.width, channels)
            load_pixels(image, data)
            return np.asarray(image)


def _decode_npy(data: bytes, path: Path, channels: int) -> Pixels:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in _NPY_HEADERS:
        raise ValueError(f"a .npy file of version {version[0]}.{version[1]}, not 1.0 or 2.0")
    # From the header alone: an array of any size could be announced, or pickled objects.
    try:
        shape, _, dtype = _NPY_HEADERS[version](file)
    except _DAMAGED_HEADER as error:
        raise ValueError("the header of the .npy file is damaged") from error
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != channels or min(shape) < 1:
        raise _refused(path, f"holds {str(dtype)[:_SHOWN]} {list(shape)[:_MOST_AXES]}", channels)
    _check_size(shape[0], shape[1], channels)
    if len(data) - file.tell() < math.prod(shape):
        raise ValueError(
            f"the file is truncated: {len(data) - file.tell()} of {math.prod(shape)} values"
        )
    file.seek(0)
    return np.ascontiguousarray(np.load(file, allow_pickle=False))


def _check_size(height: int, width: int, channels: int) -> None:
    if (
        height * width > MAX_PIXELS
        or height * width * channels > _MAX_VALUES
        or width * channels > _MAX_COLUMNS
    ):
        raise TooLarge(
            f"it has {width}x{height} pixels (width x height) of {channels} channels, more than "
            f"the {MAX_PIXELS} pixels, {_MAX_VALUES} values or {_MAX_COLUMNS} values per row "
            "that are read: cut it into tiles"
        )


def _refused(path: Path, found: str, channels: int) -> FileError:
    rgba = "an RGBA PNG file of 8 bits, or " if channels == 4 else ""
    detail = f"{found}, expected {channels}: {rgba}a .npy file of uint8 [H, W, {channels}]"
    return FileError(Problem("unreadable", path, detail), f"the image {path} {detail}")
