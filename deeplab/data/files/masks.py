"""Masks as people have them: read with Pillow, checked, and turned into labels.

TensorFlow's decoder destroys palette masks, the form in which PASCAL VOC ships: it returns the
gray level of the color instead of the index. So masks are read here, once, and everything later
works on gray PNG whose levels are the class ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplab.data.colors import Color
from deeplab.data.files.decode import check_png
from deeplab.data.files.mask_ids import (
    ClassColors,
    IdRule,
    Labels,
    colors_used,
    ids_used,
    listed,
    listed_colors,
)
from deeplab.data.files.opening import (
    load_pixels,
    open_image,
    png_bit_depth,
    read_bytes,
    reading,
    upright,
)
from deeplab.data.files.problems import FileError, Problem
from deeplab.errors import DeepLabError

# Offset in a PNG file, whose first chunk is IHDR.
_PNG_COLOR_TYPE = 25
_PNG_GRAY = 0
_PNG_GRAY_ALPHA = 4


@dataclasses.dataclass(frozen=True)
class Mask:
    """A mask as it was found.

    Attributes:
        ids: [H, W], uint8 or uint16.
        form: "grey", "16-bit grey", "palette" or "colour".
        recolored: how many pixels of a palette mask have another id by their color, which
            counts, than by their index; None if indices or levels were taken.
        is_turned: whether the orientation of EXIF, which a mask may state too, was applied.
    """

    ids: Labels
    form: str
    recolored: int | None = None
    is_turned: bool = False


def read_index_mask(path: Path, colors: ClassColors | None = None) -> Labels:
    """Reads a mask: the palette indices, the gray levels or the class colors of a PNG file.

    Args:
        path: the file.
        colors: what colors mean; see `mask_ids` for when they count.

    Returns:
        [H, W], uint8, or uint16 for 16-bit files.

    Raises:
        FileError: if it is unreadable, no PNG, has more than `MAX_PIXELS` pixels, or is an image
            in colors that are not those of the classes.
    """
    return decode_mask(mask_bytes(path), path, colors).ids


def mask_bytes(path: Path) -> bytes:
    """The content of a mask's file.

    Raises:
        FileError: if it cannot be read.
    """
    with reading("the mask", path):
        return read_bytes(path)


def decode_mask(data: bytes, path: Path, colors: ClassColors | None = None) -> Mask:
    """Decodes a mask, as `read_index_mask` takes it.

    Args:
        data: the file's bytes.
        path: where they came from, for the message.
        colors: what colors mean.

    Raises:
        FileError: as `read_index_mask`.
    """
    colors = colors or ClassColors(None)
    with reading("the mask", path), open_image(data) as image:
        if image.format != "PNG":
            detail = f"is {image.format}, not PNG: formats with losses change ids"
            raise FileError(Problem("unreadable", path, detail), f"the mask {path} {detail}")
        load_pixels(image, data)
        check_png(data)
        mode = image.mode
        palette = (image.getpalette("RGB") or []) if mode == "P" else []
        turned, is_turned = upright(image)
        pixels = np.asarray(turned)
    if mode == "P":
        mask = _of_palette(pixels, palette, path, colors)
    else:
        mask = _of_pixels(pixels, mode, data, path, colors)
    return dataclasses.replace(mask, is_turned=is_turned)


def examine_mask(
    data: bytes, path: Path, rule: IdRule, stored_ids: Mapping[int, int] | None = None
) -> Mask:
    """Decodes a mask; its ids are class ids that are not compared with the classes yet.

    Args:
        data: the bytes of the file, or of the mask in a record.
        path: a PNG file, a .mat file of the Semantic Boundaries Dataset, or what the record is
            called.
        rule: what colors mean.
        stored_ids: class id of each id that the mask may hold; None: it holds class ids.

    Raises:
        FileError: if it cannot be read, or holds other ids than the stored ones.
    """
    if path.suffix == ".mat":
        try:
            mask = Mask(read_sbd_mask(path), "mat")
        except DeepLabError as error:
            raise FileError(Problem("unreadable", path, str(error)), str(error)) from error
    else:
        # The colors of a data set with ids of its own are not those of its class ids.
        mask = decode_mask(data, path, None if stored_ids else rule.colors)
    if stored_ids is None:
        return mask
    return dataclasses.replace(mask, ids=_class_ids(mask.ids, stored_ids, path))


def _class_ids(mask: Labels, stored_ids: Mapping[int, int], path: Path) -> Labels:
    """Turns the ids [H, W] that a mask stores into class ids and the ignored one, uint8 [H, W]."""
    found = ids_used(mask)
    unknown = [stored for stored in found if stored not in stored_ids]
    if unknown:
        detail = f"holds the ids {listed(unknown)}, which are none of this data set"
        raise FileError(Problem("id_out_of_range", path, detail), f"the mask {path} {detail}")
    table = np.zeros(max(found, default=0) + 1, np.uint8)
    table[found] = [stored_ids[stored] for stored in found]
    labels: Labels = table[mask]
    return labels


def _of_pixels(
    pixels: npt.NDArray[Any], mode: str, data: bytes, path: Path, colors: ClassColors
) -> Mask:
    if mode == "1":
        return Mask(pixels.astype(np.uint8), "grey")
    if mode == "L":
        depth = png_bit_depth(data)
        if data[_PNG_COLOR_TYPE] == _PNG_GRAY and depth < 8:
            # Pillow stretches gray levels of 2 and 4 bits to 0..255; the ids are the levels.
            pixels = pixels // np.uint8(255 // (2**depth - 1))
        return Mask(pixels, "grey")
    if mode == "LA":
        return Mask(pixels[..., 0], "grey")
    if mode.startswith("I"):  # 16-bit gray
        return Mask(pixels.astype(np.uint16), "16-bit grey")
    # Pillow cuts 16 bits of a color down to 8, which is no exact match any more.
    if mode in ("RGB", "RGBA") and png_bit_depth(data) == 8:
        pixels = pixels[..., :3]
        ids = colors.of_pixels(pixels)
        if ids is not None:
            return Mask(ids, "colour")
        detail = f"is an image in colors ({mode}): {_way_out(pixels, colors)}"
    elif data[_PNG_COLOR_TYPE] == _PNG_GRAY_ALPHA:
        detail = (
            "is gray with alpha of 16 bits, which is not read exactly: save it without alpha, as "
            f"{_INDEX_MASK}"
        )
    else:
        detail = f"is an image in colors ({mode}), expected an index mask: {_INDEX_MASK}"
    raise FileError(Problem("colour_mask", path, detail), f"the mask {path} {detail}")


_INDEX_MASK = "a gray or palette PNG whose levels are class ids"


def _of_palette(
    indices: npt.NDArray[np.uint8], palette: list[int], path: Path, colors: ClassColors
) -> Mask:
    table: list[Color] = [
        (palette[i], palette[i + 1], palette[i + 2]) for i in range(0, len(palette) - 2, 3)
    ]
    ids = colors.of_palette(indices, table)
    if ids is not None:
        return Mask(ids, "palette", int(np.count_nonzero(ids != indices)))
    for index, id_ in colors.contradictions(indices, table).items():
        others = colors.unknown([table[other] for other in ids_used(indices) if other < len(table)])
        rest = f"the colors {listed_colors(others)} are" if others else "an index beyond it is"
        detail = (
            f"has a palette whose colors and indices disagree: the color of its index {index}, "
            f"{listed_colors([table[index]])}, is that of class {id_}, but {rest} no class's in "
            'the class list; give every class its color there, or remove "colors" if the indices '
            "are the class ids"
        )
        raise FileError(Problem("colour_mask", path, detail), f"the mask {path} {detail}")
    return Mask(indices, "palette")


def _way_out(pixels: npt.NDArray[np.uint8], colors: ClassColors) -> str:
    if (pixels == pixels[..., :1]).all():
        return (
            "its three channels are equal; if they hold class ids, keep one of them, with Pillow: "
            "Image.open(p).convert('L').save(p); expected is an index mask"
        )
    used = colors_used(pixels)
    if colors:
        return (
            f"the colors {listed_colors(colors.unknown(used))} are no class's in the class list; "
            f"expected an index mask, {_INDEX_MASK}, or class colors only"
        )
    return (
        f'expected an index mask, {_INDEX_MASK}; or add "colors": [[r, g, b], ...], one a '
        f"class, to classes.json, and preparing converts it (it has {len(used)} colors: "
        f"{listed_colors(used)})"
    )


def read_sbd_mask(path: Path) -> Labels:
    """Reads a mask of the Semantic Boundaries Dataset, a MATLAB file of its folder cls/.

    Source: B. Hariharan et al., Semantic contours from inverse detectors, ICCV 2011.

    Returns:
        Class ids of PASCAL VOC, uint8 [H, W].

    Raises:
        DeepLabError: if the file is no such mask.
    """
    # Most data sets do without, and importing it takes a while.
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        mask = np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0])
    except KeyError as error:
        raise DeepLabError(f"{path} has no {error.args[0]}: it is no mask of SBD's cls/") from error
    except (OSError, ValueError, TypeError, IndexError, NotImplementedError, MatReadError) as error:
        raise DeepLabError(f"cannot read the mask {path}: {error}") from error
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise DeepLabError(
            f"{path} holds {mask.dtype} {list(mask.shape)}, expected a mask of uint8 [H, W]"
        )
    return mask
