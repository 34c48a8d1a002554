"""The ids and colors that masks may hold, what is ignored, and whether there is anything to learn.

The rule of colors: exact matches, never the nearest color. If the class list states colors, and
every color that a mask uses is the color of one class, or `IGNORE_COLOR`, then the colors are the
classes. Otherwise a palette's indices are the ids, unless one of its colors is that of another
class: one more color must not change what all others mean. A mask in RGB cannot be used then. A
color that two classes share belongs to neither.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deeplab.data.colors import IGNORE_COLOR, IGNORE_LABEL, Color, ignore_label_of
from deeplab.data.files.problems import FileError, Problem

Labels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_SHOWN_IDS = 8
_SHOWN_COLORS = 4

SAVE_AS_1 = (
    "if 255 marks an object, save it as 1, with Pillow: "
    "Image.open(p).convert('L').point(lambda v: v // 255).save(p)"
)


class ClassColors:
    """What each color means."""

    def __init__(self, colors: Sequence[Color] | None) -> None:
        """Reads the colors of a class list, one per class; None: there are none."""
        self._ids: dict[Color, int] = {}
        self._num_classes = len(colors or ())
        if colors is not None:
            times = Counter(colors)
            self._ids = {color: id_ for id_, color in enumerate(colors) if times[color] == 1}
            if IGNORE_COLOR not in colors:
                self._ids[IGNORE_COLOR] = ignore_label_of(len(colors))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._ids)

    def unknown(self, used: Sequence[Color]) -> list[Color]:
        """Those of the colors that mean nothing."""
        return [color for color in used if color not in self._ids]

    def of_palette(self, indices: npt.NDArray[np.uint8], palette: Sequence[Color]) -> Labels | None:
        """Ids by the colors of a palette; None if not every color that is used means something.

        Args:
            indices: [H, W].
            palette: its colors; it may be shorter than an index.
        """
        used = ids_used(indices)
        if not self or max(used, default=0) >= len(palette):
            return None
        if self.unknown([palette[index] for index in used]):
            return None
        table = np.zeros(256, np.uint16)
        for index in used:
            table[index] = self._ids[palette[index]]
        return self._narrow(table[indices])

    def contradictions(
        self, indices: npt.NDArray[np.uint8], palette: Sequence[Color]
    ) -> dict[int, int]:
        """Indices that are used, each with the other class that its color means.

        Args:
            indices: [H, W].
            palette: its colors; it may be shorter than an index.
        """
        meant = {
            index: self._ids.get(palette[index], index)
            for index in ids_used(indices)
            if index < len(palette)
        }
        # Beyond the classes, void is void under any index.
        return {
            index: id_
            for index, id_ in meant.items()
            if id_ != index and min(id_, index) < self._num_classes
        }

    def of_pixels(self, pixels: npt.NDArray[np.uint8]) -> Labels | None:
        """Ids by the colors of pixels [H, W, 3]; None if not every color means something."""
        codes, places = np.unique(_codes(pixels), return_inverse=True)
        used = [_color(code) for code in codes.tolist()]
        if not self or self.unknown(used):
            return None
        table = np.array([self._ids[color] for color in used], np.uint16)
        return self._narrow(table[places.reshape(pixels.shape[:2])])

    def _narrow(self, ids: npt.NDArray[np.uint16]) -> Labels:
        return ids if max(self._ids.values()) > 255 else ids.astype(np.uint8)


def colors_used(pixels: npt.NDArray[np.uint8]) -> list[Color]:
    """The colors of pixels [H, W, 3], in order."""
    return [_color(code) for code in np.unique(_codes(pixels)).tolist()]


def _codes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    wide = pixels.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _color(code: int) -> Color:
    return code >> 16, code >> 8 & 255, code & 255


@dataclasses.dataclass(frozen=True)
class IdRule:
    """Which ids a mask may hold, and which of them mean "no class".

    Attributes:
        num_classes: ids of classes are 0..num_classes-1.
        ignore: a further id that means "no class"; it may be one of the classes' ids.
        colors: what the colors of a mask mean; None: nothing.
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
        ids = ids_used(mask)
        unknown = [i for i in ids if i >= self.num_classes and i not in self.ignored]
        if unknown:
            detail = (
                f"holds the ids {listed(unknown)}, but the classes are "
                f"0..{self.num_classes - 1} and {listed(self.ignored)} is ignored: list the "
                'classes, or name the id of "no class" as "ignore" in classes.json, or save the '
                "palette's indices if these are its gray levels"
            )
            raise FileError(Problem("id_out_of_range", path, detail), f"the mask {path} {detail}")
        table = np.arange(max(int(mask.max(initial=0)), self.ignore, self.ignore_label) + 1)
        table[self.ignore] = self.ignore_label
        wide = self.ignore_label > IGNORE_LABEL
        labels: Labels = table.astype(np.uint16)[mask] if wide else table.astype(np.uint8)[mask]
        return labels, frozenset(ids)


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
    return _first([str(id_) for id_ in ids], _SHOWN_IDS)


def listed_colors(colors: Sequence[Color]) -> str:
    """Colors for a message, shortened if there are many."""
    return _first([str(color) for color in colors], _SHOWN_COLORS)


def _first(texts: Sequence[str], most: int) -> str:
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def ids_used(mask: Labels) -> list[int]:
    """The ids, levels or indices that a mask [H, W] holds, in order."""
    found: list[int] = np.flatnonzero(np.bincount(mask.ravel(), minlength=1)).tolist()
    return found
