"""Image files as people have them, turned into bytes that TensorFlow decodes to the same pixels."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

from PIL import Image

from deeplab.data.files.channels import RGB, decode_channels, packed
from deeplab.data.files.jpeg_file import has_end
from deeplab.data.files.opening import (
    UNREADABLE,
    TooLarge,
    load_pixels,
    open_image,
    png_bit_depth,
    upright,
    what_is_wrong,
)
from deeplab.data.files.problems import FileError, Problem
from deeplab.data.files.regular_file import read_bytes

# TensorFlow refuses JPEG files of so many bytes of pixels (core/lib/jpeg/jpeg_mem.cc).
_MAX_JPEG_BYTES = 2**29


@dataclasses.dataclass(frozen=True)
class EncodedImage:
    """An image as a record holds it.

    Attributes:
        data: the bytes of a JPEG or PNG file with three 8-bit channels, upright; or, for another
            number of channels, of the PNG file that `packed` makes.
        height: of the image, in pixels.
        width: of the image, in pixels.
        is_turned: whether the orientation of EXIF was applied.
    """

    data: bytes
    height: int
    width: int
    is_turned: bool = False


def read_image(path: Path, channels: int = RGB) -> EncodedImage:
    """Reads an image file of 3 channels, or of more as `decode_channels` takes it.

    The bytes of plain RGB files are kept as they are. Others are converted and become PNG: grey
    and palette to RGB, alpha dropped, CMYK converted, the orientation of EXIF applied.

    Raises:
        FileError: if it is unreadable, truncated or has more than `MAX_PIXELS` pixels, or has 16
            or 32 bits a channel in grey (what is white in it cannot be known), or other than the
            channels that were asked for, if these are not 3.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if channels != RGB:
        pixels = decode_channels(data, path, channels)
        return EncodedImage(packed(pixels), *pixels.shape[:2])
    decoded = decode_upright(data, path)
    image = decoded.image
    if decoded.is_plain:
        return EncodedImage(data, image.height, image.width)
    file = io.BytesIO()
    # Without `exif` Pillow would copy the orientation tag that has just been applied.
    image.save(file, "PNG", exif=b"")
    return EncodedImage(file.getvalue(), image.height, image.width, decoded.is_turned)


@dataclasses.dataclass(frozen=True)
class Decoded:
    """An image as a record is made of it.

    Attributes:
        image: RGB and upright.
        is_plain: whether the file's bytes are three 8-bit channels of a JPEG or PNG file, upright.
        is_turned: whether the orientation of EXIF was applied.
    """

    image: Image.Image
    is_plain: bool
    is_turned: bool


def decode_upright(data: bytes, path: Path) -> Decoded:
    """Decodes an image file, as `read_image` takes it.

    Args:
        data: the file's bytes.
        path: where they came from, for the message.

    Raises:
        FileError: as `read_image`.
    """
    try:
        with open_image(data) as file:
            load_pixels(file, data)
            image, is_turned = upright(file)
            if image.mode == "RGB" and not is_turned and _is_plain(file, data):
                return Decoded(image, is_plain=True, is_turned=False)
            if image.mode[0] in "IF":
                detail = f"has more than 8 bits a channel (mode {image.mode}): convert it to 8 bits"
                raise FileError(Problem("unreadable", path, detail), f"the image {path} {detail}")
            # Straight to RGB, Pillow warns about palettes with transparency.
            opaque = image.convert("RGBA") if image.mode == "P" else image
            return Decoded(opaque.convert("RGB"), is_plain=False, is_turned=is_turned)
    except FileError:
        raise
    except (TooLarge, *UNREADABLE) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> FileError:
    why = what_is_wrong(error)
    return FileError(Problem("unreadable", path, why), f"cannot read the image {path}: {why}")


def _is_plain(image: Image.Image, data: bytes) -> bool:
    """Whether TensorFlow decodes the bytes of an RGB image, and to the same pixels."""
    if image.format == "PNG":
        # Which picture of an animation is the image, decoders may see differently.
        return png_bit_depth(data) == 8 and not getattr(image, "is_animated", False)
    return (
        image.format in ("JPEG", "MPO")
        and 3 * image.width * image.height < _MAX_JPEG_BYTES
        and has_end(data)
    )
