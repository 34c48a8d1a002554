"""What images and masks are together: much is seen only when all of them have been read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from deeplab.data.colors import IGNORE_LABEL
from deeplab.data.files.mask_ids import SAVE_AS_1, IdRule, check_something_to_learn


class PairTally(NamedTuple):
    """Images and their masks, added up.

    Attributes:
        ids: what the masks hold, before ignored ids become one.
        masks: how many masks can be used.
        with_255: how many of them hold 255.
        binary: how many of these hold 0 beside it and nothing else.
        turned_images: images that the orientation of EXIF turned, without their masks.
        turned_pairs: images that it turned with their masks.
        turned_masks: masks that it turned, without their images.
    """

    ids: frozenset[int] = frozenset()
    masks: int = 0
    with_255: int = 0
    binary: int = 0
    turned_images: int = 0
    turned_pairs: int = 0
    turned_masks: int = 0

    @classmethod
    def of(
        cls, ids: frozenset[int], *, image_is_turned: bool = False, mask_is_turned: bool = False
    ) -> PairTally:
        """The tally of a single pair; without ids its mask cannot be used."""
        return cls(
            ids,
            int(bool(ids)),
            int(IGNORE_LABEL in ids),
            int(ids == {0, IGNORE_LABEL}),
            int(image_is_turned and not mask_is_turned),
            int(image_is_turned and mask_is_turned),
            int(mask_is_turned and not image_is_turned),
        )

    @classmethod
    def total(cls, parts: Iterable[PairTally]) -> PairTally:
        """The tally of all pairs of the parts."""
        added = list(parts)
        ids: frozenset[int] = frozenset().union(*(part.ids for part in added))
        counts = zip(*(part[1:] for part in added), strict=True)
        return cls(ids, *map(sum, counts))

    def lost_objects(self, rule: IdRule, split: str | None = None) -> str:
        """The suspicion that 255 marks objects in some of the masks, or "".

        Where 255 is a border or what nobody labeled, it lies beside objects: masks that hold
        nothing but background and 255 are few among those that hold 255. So they are suspected
        where they are most of them, however many masks hold no 255 at all.

        Args:
            rule: the ids of classes.
            split: whose masks they are; None: they are all that there are.
        """
        if rule.ignore_label != IGNORE_LABEL or 2 * self.binary <= self.with_255:
            return ""
        where = "" if split is None else f" of the split {split!r}"
        return (
            f"{self.binary} of {self.masks} masks{where} hold nothing but 0 and 255, and 255 means "
            f"'ignore': no object in them counts; {SAVE_AS_1}"
        )

    def turned_notes(self) -> list[str]:
        """What the orientation of EXIF did."""
        notes = []
        if images := self.turned_images + self.turned_pairs:
            notes.append(
                f"images turned as their EXIF orientation says: {images}, of which "
                f"{self.turned_pairs} with their masks; each mask must fit the turned image"
            )
        if self.turned_masks:
            notes.append(
                "masks turned as their own EXIF orientation says, but not their images: "
                f"{self.turned_masks}"
            )
        return notes


def judge(
    total: PairTally,
    rule: IdRule,
    where: Path,
    training: str | None,
    of_training: PairTally | None,
) -> list[str]:
    """Judges all pairs together.

    Args:
        total: all pairs.
        rule: the ids of classes.
        where: the folder of the masks, for the message.
        training: the split to train on, None if there is none.
        of_training: its pairs.

    Returns:
        What the user should be told.

    Raises:
        FileError: if the masks of all splits, or of the training split, teach nothing.
    """
    check_something_to_learn(total.ids, rule, where)
    lost = total.lost_objects(rule)
    if of_training is not None:
        check_something_to_learn(of_training.ids, rule, where, training)
        lost = lost or of_training.lost_objects(rule, training)
    return [*([lost] if lost else []), *total.turned_notes()]
