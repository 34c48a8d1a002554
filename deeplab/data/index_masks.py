"""Index masks as people have them: read with Pillow, checked, and turned into labels.

TensorFlow's decoder destroys palette masks, the form in which PASCAL VOC ships: it returns the
grey level of the colour instead of the index. So masks are read here, once, and everything later
works on grey PNG whose levels are the class ids.
"""

from __future__ import annotations

import dataclasses
import io
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from deeplab.data.classes import IGNORE_LABEL, ClassList, ignore_label_of
from deeplab.errors import DeepLabError

Labels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

# What Pillow raises for files that it cannot read: not an image, truncated, broken, absurdly big.
UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Offsets in a PNG file, whose first chunk is IHDR: width and height (4 bytes each) at 16.
_PNG_BIT_DEPTH = 24
_PNG_COLOR_TYPE = 25
_PNG_GREY = 0

_SHOWN_IDS = 8


def what_is_wrong(error: Exception) -> str:
    """What the user should be told of an error of `UNREADABLE`."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"  # Pillow names an object in memory
    return str(error) or type(error).__name__


def png_bit_depth(data: bytes) -> int:
    """Bits per channel of a PNG file (1..16), 0 if it is none."""
    return data[_PNG_BIT_DEPTH] if data.startswith(_PNG_SIGNATURE) and len(data) > 32 else 0


def read_index_mask(path: Path) -> Labels:
    """Reads a mask: the palette indices or the grey levels of a PNG file.

    Returns:
        [H, W], uint8, or uint16 for 16-bit files.

    Raises:
        DeepLabError: if it is unreadable, no PNG, or an image in colours.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if image.format != "PNG":
                raise DeepLabError(
                    f"the mask {path} is {image.format}, not PNG: formats with losses change ids"
                )
            mode = image.mode
            pixels = np.asarray(image)
    except DeepLabError:
        raise
    except UNREADABLE as error:
        raise DeepLabError(f"cannot read the mask {path}: {what_is_wrong(error)}") from error
    if mode in ("P", "1"):
        return pixels.astype(np.uint8)
    if mode == "L":
        depth = png_bit_depth(data)
        if data[_PNG_COLOR_TYPE] == _PNG_GREY and depth < 8:
            # Pillow stretches grey levels of 2 and 4 bits to 0..255; the ids are the levels.
            pixels = pixels // np.uint8(255 // (2**depth - 1))
        return pixels
    if mode.startswith("I"):  # 16-bit grey
        return pixels.astype(np.uint16)
    raise DeepLabError(
        f"the mask {path} is an image in colours ({mode}), expected an index mask: a grey or "
        "palette PNG whose levels are class ids"
    )


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
    """

    num_classes: int
    ignore: int = IGNORE_LABEL

    @classmethod
    def of(cls, classes: ClassList) -> IdRule:
        """The rule of a class list."""
        return cls(len(classes.names), classes.ignore)

    @property
    def ignore_label(self) -> int:
        """The id of ignored pixels in the result."""
        return ignore_label_of(self.num_classes)

    def labels(self, mask: Labels, path: Path) -> tuple[Labels, frozenset[int]]:
        """Checks the ids of a mask and turns ignored ones into `ignore_label`.

        Args:
            mask: [H, W], as read.
            path: where it came from, for the message.

        Returns:
            The labels [H, W] (uint16 if there are more than 255 classes), and the ids that the
            mask holds.

        Raises:
            DeepLabError: if it holds other ids.
        """
        ids = np.flatnonzero(np.bincount(mask.ravel(), minlength=1))
        ignored = {self.ignore, self.ignore_label}
        unknown = [i for i in ids.tolist() if i >= self.num_classes and i not in ignored]
        if unknown:
            raise DeepLabError(
                f"the mask {path} holds the ids {listed(unknown)}, but the classes are "
                f"0..{self.num_classes - 1} and {listed(sorted(ignored))} is ignored: list the "
                'classes, or name the id of "no class" as "ignore" in classes.json, or save the '
                "palette's indices if these are its grey levels"
            )
        table = np.arange(max(int(mask.max(initial=0)), self.ignore, self.ignore_label) + 1)
        table[self.ignore] = self.ignore_label
        wide = self.ignore_label > IGNORE_LABEL
        labels: Labels = table.astype(np.uint16)[mask] if wide else table.astype(np.uint8)[mask]
        return labels, frozenset(ids.tolist())


def check_something_to_learn(ids: Iterable[int], rule: IdRule, where: Path) -> None:
    """Refuses masks that all together teach nothing.

    Args:
        ids: what all masks hold together.
        rule: the ids of classes.
        where: the folder of the masks, for the message.

    Raises:
        DeepLabError: if every pixel is ignored, or the masks hold nothing but 0 and 255.
    """
    found = set(ids)
    if rule.ignore_label == IGNORE_LABEL and found <= {0, IGNORE_LABEL}:
        raise DeepLabError(
            f"all masks in {where} together hold nothing but the ids {listed(sorted(found))}, and "
            "255 means 'ignore': nothing could be learned; if 255 marks an object, save it as 1, "
            "with Pillow: Image.open(p).convert('L').point(lambda v: v // 255).save(p)"
        )
    if found <= {rule.ignore, rule.ignore_label}:
        raise DeepLabError(
            f"all masks in {where} hold nothing but ignored ids: {listed(sorted(found))}"
        )


def listed(ids: Iterable[int]) -> str:
    """Ids for a message: "3, 7, 9", shortened if there are many."""
    values = list(ids)
    text = ", ".join(str(value) for value in values[:_SHOWN_IDS])
    more = len(values) - _SHOWN_IDS
    return f"{text} and {more} more" if more > 0 else text
