"""The bytes that a record holds of image files as people have them.

No image format that TensorFlow decodes holds more than four channels. Of an image with more than
three, a record holds a gray PNG file of H rows and W * C columns, in which the values of a pixel
stand side by side; reshaping to [H, W, C] undoes it, and nothing is lost.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from deeplab.data.files.decode import check_png, decode_image
from deeplab.data.files.opening import PNG_SIGNATURE, read_bytes, reading
from deeplab.data.files.pixels import RGB, Picture, Pixels, decode_picture

_JPEG_SIGNATURE = b"\xff\xd8\xff"


@dataclasses.dataclass(frozen=True)
class EncodedImage:
    """An image as a record holds it.

    Attributes:
        data: the bytes of a JPEG or PNG file that TensorFlow decodes to the pixels of the image;
            for another number of channels than 3, of the PNG file that `png` makes.
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
    return EncodedImage(png(pixels), height, width, is_turned)


def png(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """The PNG file that a record holds.

    Args:
        pixels: RGB uint8 [H, W, 3]; uint8 [H, W, C] of more channels; or a label, uint8 or uint16
            [H, W], whose type decides about the bits.
    """
    if pixels.ndim == 3 and pixels.shape[2] != RGB:
        pixels = pixels.reshape(len(pixels), -1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def sound_picture(data: bytes, path: Path, channels: int = RGB) -> Picture:
    """What `decode_picture` gives, of a file that TensorFlow decodes too if it is PNG.

    Raises:
        FileError: as `decode_picture`, or if TensorFlow cannot decode it.
    """
    picture = decode_picture(data, path, channels)
    _check(data, path)
    return picture


def _decodes_to(data: bytes, pixels: Pixels) -> bool:
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
