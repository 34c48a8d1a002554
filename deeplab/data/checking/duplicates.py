"""Images that are in several splits, found by their content."""

from __future__ import annotations

from collections.abc import Collection

from deeplab.data.checking.samples import Sample
from deeplab.data.files.problems import Problem
from deeplab.data.sources.pairs import SPLIT_NAMES


class Duplicates:
    """Remembers the content of every image and in which splits it was seen.

    A file may well be in several lists, such as train and trainval. It must not be in two splits
    of which one trains and the other measures: those named train, val or test (or a synonym), and
    those that the settings name. Under another id the same content is always wrong.
    """

    def __init__(self, disjoint: Collection[str]) -> None:
        """Names the splits that must not share images, besides train, val and test."""
        self._disjoint = SPLIT_NAMES.union(disjoint)
        self._seen: dict[bytes, dict[str, Sample]] = {}

    def add(self, image_hash: bytes, sample: Sample) -> Problem | None:
        """Notes an image; a problem if it is in an earlier split too."""
        seen = self._seen.setdefault(image_hash, {})
        seen.setdefault(sample.split, sample)
        for split, other in seen.items():
            if split != sample.split and not self._may_share(sample, other):
                return Problem(
                    "duplicate_across_splits",
                    sample.pair.image,
                    f"of the split {sample.split} is the same image as {other.pair.image} of "
                    f"{split}: keep it in one of them",
                )
        return None

    def _may_share(self, one: Sample, other: Sample) -> bool:
        both_disjoint = one.split in self._disjoint and other.split in self._disjoint
        return one.pair.id == other.pair.id and not both_disjoint
