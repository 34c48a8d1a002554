"""The ids that masks may hold, what is ignored, and whether anything can be learned of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from deeplab.data.colors import IGNORE_LABEL, ignore_label_of
from deeplab.data.files.mask_colors import ClassColors, Labels
from deeplab.data.files.problems import FileError, Problem

_SHOWN_IDS = 8

SAVE_AS_1 = (
    "if 255 marks an object, save it as 1, with Pillow: "
    "Image.open(p).convert('L').point(lambda v: v // 255).save(p)"
)


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
