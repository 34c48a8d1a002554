"""Images with more than three channels: their files, and how records hold them.

No image format that TensorFlow decodes holds more than four channels. A record holds a grey PNG
file of H rows and W * C columns, in which the values of a pixel stand side by side; reshaping to
[H, W, C] undoes it, and nothing is lost.
"""

from __future__ import annotations

import io
import math
import tokenize
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from deeplab.data.files.opening import (
    MAX_PIXELS,
    TooLarge,
    load_pixels,
    open_image,
    png_bit_depth,
    reading,
)
from deeplab.data.files.problems import FileError, Problem

RGB = 3

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


def packed(pixels: Pixels) -> bytes:
    """The grey PNG file that a record holds of an image uint8 [H, W, C]."""
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(len(pixels), -1)).save(file, "PNG")
    return file.getvalue()


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
    png = "an RGBA PNG file of 8 bits, or " if channels == 4 else ""
    detail = f"{found}, expected {channels}: {png}a .npy file of uint8 [H, W, {channels}]"
    return FileError(Problem("unreadable", path, detail), f"the image {path} {detail}")
