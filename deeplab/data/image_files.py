"""Image files as people have them, turned into bytes that TensorFlow decodes to the same pixels."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

from PIL import Image, ImageOps

from deeplab.data.index_masks import UNREADABLE, png_bit_depth, what_is_wrong
from deeplab.errors import DeepLabError

_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright


@dataclasses.dataclass(frozen=True)
class EncodedImage:
    """A JPEG or PNG file with three 8-bit channels, upright.

    Attributes:
        data: the file's bytes.
        height: in pixels.
        width: in pixels.
    """

    data: bytes
    height: int
    width: int


def read_image(path: Path) -> EncodedImage:
    """Reads an image file.

    The bytes of plain RGB files are kept as they are. Others are converted and become PNG: grey
    and palette to RGB, alpha dropped, CMYK converted, the orientation of EXIF applied.

    Raises:
        DeepLabError: if it is unreadable or truncated, or has 16 or 32 bits a channel in grey
            (what is white in it cannot be known).
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.load()  # a truncated file fails here
            upright = image.getexif().get(_ORIENTATION, 1) in (0, 1)
            if image.mode == "RGB" and upright and _is_plain(image.format, data):
                return EncodedImage(data, image.height, image.width)
            if image.mode[0] in "IF":
                raise DeepLabError(
                    f"the image {path} has more than 8 bits a channel (mode {image.mode}): "
                    "convert it to 8 bits"
                )
            converted = ImageOps.exif_transpose(image).convert("RGB")
    except DeepLabError:
        raise
    except UNREADABLE as error:
        raise DeepLabError(f"cannot read the image {path}: {what_is_wrong(error)}") from error
    file = io.BytesIO()
    # Without `exif` Pillow would copy the orientation tag that has just been applied.
    converted.save(file, "PNG", exif=b"")
    return EncodedImage(file.getvalue(), converted.height, converted.width)


def _is_plain(image_format: str | None, data: bytes) -> bool:
    return image_format in ("JPEG", "MPO") or (image_format == "PNG" and png_bit_depth(data) == 8)
