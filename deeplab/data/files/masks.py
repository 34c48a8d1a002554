"""Index masks as people have them: read with Pillow, checked, and turned into labels.

TensorFlow's decoder destroys palette masks, the form in which PASCAL VOC ships: it returns the
grey level of the colour instead of the index. So masks are read here, once, and everything later
works on grey PNG whose levels are the class ids.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from deeplab.data.colors import IGNORE_LABEL, Color, ignore_label_of
from deeplab.data.files.mask_colors import ClassColors, Labels, colors_used, listed_colors
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

# Offset in a PNG file, whose first chunk is IHDR.
_PNG_COLOR_TYPE = 25
_PNG_GREY = 0
_PNG_GREY_ALPHA = 4

_SHOWN_IDS = 8

SAVE_AS_1 = (
    "if 255 marks an object, save it as 1, with Pillow: "
    "Image.open(p).convert('L').point(lambda v: v // 255).save(p)"
)


@dataclasses.dataclass(frozen=True)
class Mask:
    """A mask as it was found.

    Attributes:
        ids: [H, W], uint8 or uint16.
        form: "grey", "16-bit grey", "palette" or "colour".
        recoloured: how many pixels of a palette mask have another id by their colour, which
            counts, than by their index; None if indices or levels were taken.
        is_turned: whether the orientation of EXIF, which a mask may state too, was applied.
    """

    ids: Labels
    form: str
    recoloured: int | None = None
    is_turned: bool = False


def read_index_mask(path: Path, colors: ClassColors | None = None) -> Labels:
    """Reads a mask: the palette indices, the grey levels or the class colours of a PNG file.

    Args:
        path: the file.
        colors: what colours mean; see `class_colors` for when they count.

    Returns:
        [H, W], uint8, or uint16 for 16-bit files.

    Raises:
        FileError: if it is unreadable, no PNG, has more than `MAX_PIXELS` pixels, or is an image
            in colours that are not those of the classes.
    """
    return decode_mask(mask_bytes(path), path, colors).ids


def mask_bytes(path: Path) -> bytes:
    """The content of a mask's file.

    Raises:
        FileError: if it cannot be read.
    """
    try:
        return read_bytes(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def decode_mask(data: bytes, path: Path, colors: ClassColors | None = None) -> Mask:
    """Decodes a mask, as `read_index_mask` takes it.

    Args:
        data: the file's bytes.
        path: where they came from, for the message.
        colors: what colours mean.

    Raises:
        FileError: as `read_index_mask`.
    """
    colors = colors or ClassColors(None)
    try:
        with open_image(data) as image:
            if image.format != "PNG":
                detail = f"is {image.format}, not PNG: formats with losses change ids"
                raise FileError(Problem("unreadable", path, detail), f"the mask {path} {detail}")
            load_pixels(image, data)
            mode = image.mode
            palette = (image.getpalette("RGB") or []) if mode == "P" else []
            turned, is_turned = upright(image)
            pixels = np.asarray(turned)
    except FileError:
        raise
    except (TooLarge, *UNREADABLE) as error:
        raise _unreadable(path, error) from error
    if mode == "P":
        mask = _of_palette(pixels, palette, path, colors)
    else:
        mask = _of_pixels(pixels, mode, data, path, colors)
    return dataclasses.replace(mask, is_turned=is_turned)


def _of_pixels(
    pixels: npt.NDArray[Any], mode: str, data: bytes, path: Path, colors: ClassColors
) -> Mask:
    if mode == "1":
        return Mask(pixels.astype(np.uint8), "grey")
    if mode == "L":
        depth = png_bit_depth(data)
        if data[_PNG_COLOR_TYPE] == _PNG_GREY and depth < 8:
            # Pillow stretches grey levels of 2 and 4 bits to 0..255; the ids are the levels.
            pixels = pixels // np.uint8(255 // (2**depth - 1))
        return Mask(pixels, "grey")
    if mode == "LA":
        return Mask(pixels[..., 0], "grey")
    if mode.startswith("I"):  # 16-bit grey
        return Mask(pixels.astype(np.uint16), "16-bit grey")
    # Pillow cuts 16 bits of a colour down to 8, which is no exact match any more.
    if mode in ("RGB", "RGBA") and png_bit_depth(data) == 8:
        pixels = pixels[..., :3]
        ids = colors.of_pixels(pixels)
        if ids is not None:
            return Mask(ids, "colour")
        detail = f"is an image in colours ({mode}): {_way_out(pixels, colors)}"
    elif data[_PNG_COLOR_TYPE] == _PNG_GREY_ALPHA:
        detail = (
            "is grey with alpha of 16 bits, which is not read exactly: save it without alpha, as "
            f"{_INDEX_MASK}"
        )
    else:
        detail = f"is an image in colours ({mode}), expected an index mask: {_INDEX_MASK}"
    raise FileError(Problem("colour_mask", path, detail), f"the mask {path} {detail}")


_INDEX_MASK = "a grey or palette PNG whose levels are class ids"


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
        used = np.unique(indices).tolist()
        others = colors.unknown([table[other] for other in used if other < len(table)])
        rest = f"the colours {listed_colors(others)} are" if others else "an index beyond it is"
        detail = (
            f"has a palette whose colours and indices disagree: the colour of its index {index}, "
            f"{listed_colors([table[index]])}, is that of class {id_}, but {rest} no class's in "
            'the class list; give every class its colour there, or remove "colors" if the indices '
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
            f"the colours {listed_colors(colors.unknown(used))} are no class's in the class list; "
            f"expected an index mask, {_INDEX_MASK}, or class colours only"
        )
    return (
        f'expected an index mask, {_INDEX_MASK}; or add "colors": [[r, g, b], ...], one a '
        f"class, to classes.json, and preparing converts it (it has {len(used)} colours: "
        f"{listed_colors(used)})"
    )


def _unreadable(path: Path, error: Exception) -> FileError:
    why = what_is_wrong(error)
    return FileError(Problem("unreadable", path, why), f"cannot read the mask {path}: {why}")


def encode_label(label: Labels) -> bytes:
    """A grey PNG file, 8 or 16 bit by the type of `label` [H, W]."""
    file = io.BytesIO()
    Image.fromarray(label).save(file, "PNG")
    return file.getvalue()


@dataclasses.dataclass(frozen=True)
class IdRule:
    """Which ids a mask may hold, and which of them mean "no class".

    Attributes:
        num_classes: ids of classes are 0..num_classes-1.
        ignore: a further id that means "no class"; it may be one of the classes' ids.
        colors: what the colours of a mask mean; None: nothing.
    """

    num_classes: int
    ignore: int = IGNORE_LABEL
    colors: ClassColors | None = None

    @property
    def ignore_label(self) -> int:
        """The id of ignored pixels in the result."""
        return ignore_label_of(self.num_classes)

    @property
    def ignored(self) -> tuple[int, ...]:
        """The ids that mean "no class" in a mask, in order."""
        return tuple(sorted({self.ignore, self.ignore_label}))

    def labels(self, mask: Labels, path: Path) -> tuple[Labels, frozenset[int]]:
        """Checks the ids of a mask and turns ignored ones into `ignore_label`.

        Args:
            mask: [H, W], as read.
            path: where it came from, for the message.

        Returns:
            The labels [H, W] (uint16 if there are more than 255 classes), and the ids that the
            mask holds.

        Raises:
            FileError: if it holds other ids.
        """
        ids = np.flatnonzero(np.bincount(mask.ravel(), minlength=1))
        unknown = [i for i in ids.tolist() if i >= self.num_classes and i not in self.ignored]
        if unknown:
            detail = (
                f"holds the ids {listed(unknown)}, but the classes are "
                f"0..{self.num_classes - 1} and {listed(self.ignored)} is ignored: list the "
                'classes, or name the id of "no class" as "ignore" in classes.json, or save the '
                "palette's indices if these are its grey levels"
            )
            raise FileError(Problem("id_out_of_range", path, detail), f"the mask {path} {detail}")
        table = np.arange(max(int(mask.max(initial=0)), self.ignore, self.ignore_label) + 1)
        table[self.ignore] = self.ignore_label
        wide = self.ignore_label > IGNORE_LABEL
        labels: Labels = table.astype(np.uint16)[mask] if wide else table.astype(np.uint8)[mask]
        return labels, frozenset(ids.tolist())


def check_something_to_learn(
    ids: Iterable[int], rule: IdRule, where: Path, split: str | None = None
) -> None:
    """Refuses masks that all together teach nothing.

    Args:
        ids: what all masks hold together.
        rule: the ids of classes.
        where: the folder of the masks, for the message.
        split: the split whose masks they are; None: they are all that there are.

    Raises:
        FileError: if every pixel is ignored, or the masks hold nothing but 0 and 255.
    """
    found = set(ids)
    if rule.ignore_label == IGNORE_LABEL and found <= {0, IGNORE_LABEL}:
        detail = (
            f"together hold nothing but the ids {listed(sorted(found))}, and 255 means 'ignore': "
            f"nothing could be learned; {SAVE_AS_1}"
        )
        kind = "binary_mask"
    elif found <= set(rule.ignored):
        detail = f"hold nothing but ignored ids: {listed(sorted(found))}"
        kind = "single_class"
    else:
        return
    masks = "all masks" if split is None else f"all masks of the split {split!r}"
    raise FileError(Problem(kind, where, f"{masks} {detail}"), f"{masks} in {where} {detail}")


def check_something_to_measure(masks: Iterable[frozenset[int]], rule: IdRule, where: Path) -> None:
    """Refuses masks that hold 0 and 255 and nothing else: their objects would not be measured.

    Args:
        masks: the ids of each mask; no more are asked for than it takes to be sure.
        rule: the ids of classes.
        where: the folder of the masks, for the message.

    Raises:
        FileError: if all masks together hold 0 and 255, or 255 alone.
    """
    if rule.ignore_label != IGNORE_LABEL:
        return
    found: set[int] = set()
    for ids in masks:
        found |= ids
        if not found <= {0, IGNORE_LABEL}:
            return
    if IGNORE_LABEL in found:
        detail = (
            f"together hold nothing but the ids {listed(sorted(found))}, and 255 means 'ignore': "
            f"no object would be measured; {SAVE_AS_1}"
        )
        problem = Problem("binary_mask", where, f"all masks {detail}")
        raise FileError(problem, f"all masks in {where} {detail}")


def listed(ids: Iterable[int]) -> str:
    """Ids for a message: "3, 7, 9", shortened if there are many."""
    values = list(ids)
    text = ", ".join(str(value) for value in values[:_SHOWN_IDS])
    more = len(values) - _SHOWN_IDS
    return f"{text} and {more} more" if more > 0 else text
