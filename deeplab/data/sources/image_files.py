"""Image files as people have them, turned into bytes that TensorFlow decodes to the same pixels."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

from PIL import Image, ImageOps

from deeplab.data.sources.channels import RGB, decode_channels, packed
from deeplab.data.sources.jpeg_file import has_end
from deeplab.data.sources.open_image import (
    UNREADABLE,
    TooLarge,
    load_pixels,
    open_image,
    png_bit_depth,
    what_is_wrong,
)
from deeplab.data.sources.problems import FileError, Problem
from deeplab.data.sources.regular_file import read_bytes

_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
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
    """

    data: bytes
    height: int
    width: int


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
    image, is_plain = decode_upright(data, path)
    if is_plain:
        return EncodedImage(data, image.height, image.width)
    file = io.BytesIO()
    # Without `exif` Pillow would copy the orientation tag that has just been applied.
    image.save(file, "PNG", exif=b"")
    return EncodedImage(file.getvalue(), image.height, image.width)


def decode_upright(data: bytes, path: Path) -> tuple[Image.Image, bool]:
    """Decodes an image file, as `read_image` takes it.

    Args:
        data: the file's bytes.
        path: where they came from, for the message.

    Returns:
        The image, RGB and upright, and whether the bytes are plain: three 8-bit channels of a
        JPEG or PNG file, upright.

    Raises:
        FileError: as `read_image`.
    """
    try:
        with open_image(data) as image:
            load_pixels(image, data)
            upright = image.getexif().get(_ORIENTATION, 1) in (0, 1)
            if image.mode == "RGB" and upright and _is_plain(image, data):
                return image, True
            if image.mode[0] in "IF":
                detail = f"has more than 8 bits a channel (mode {image.mode}): convert it to 8 bits"
                raise FileError(Problem("unreadable", path, detail), f"the image {path} {detail}")
            turned = ImageOps.exif_transpose(image)
            # Straight to RGB, Pillow warns about palettes with transparency.
            opaque = turned.convert("RGBA") if turned.mode == "P" else turned
            return opaque.convert("RGB"), False
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
