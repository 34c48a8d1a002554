"""What a check found, added up."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deeplab.data.checking.inspect import Facts
from deeplab.data.colors import Color
from deeplab.data.files.problems import Problem
from deeplab.data.sources.pair_tally import PairTally
from deeplab.data.sources.pairs import find_split
from deeplab.errors import DeepLabError, unknown_name


@dataclasses.dataclass
class SplitTally:
    """The masks of a split, added up.

    Attributes:
        class_pixels: pixels per class, int64 [C].
        class_images: images in which each class occurs, int64 [C].
        pixels_where_present: labeled pixels of these images, int64 [C].
        num_images: images with a mask, whether or not they can be used.
        num_pixels: pixels of the masks that can be used, ignored ones included.
        pairs: what the images and these masks are together.
    """

    class_pixels: npt.NDArray[np.int64]
    class_images: npt.NDArray[np.int64]
    pixels_where_present: npt.NDArray[np.int64]
    num_images: int = 0
    num_pixels: int = 0
    pairs: PairTally = PairTally()

    @classmethod
    def empty(cls, num_classes: int) -> SplitTally:
        """Nothing yet."""
        first, second, third = np.zeros((3, num_classes), np.int64)
        return cls(first, second, third)

    def add(self, facts: Facts) -> None:
        """Adds a sample."""
        self.num_images += 1
        self.num_pixels += facts.num_pixels
        self.pairs = PairTally.total([self.pairs, facts.tally])
        if facts.class_pixels is not None:
            present = facts.class_pixels > 0
            self.class_pixels += facts.class_pixels
            self.class_images += present
            self.pixels_where_present += present * facts.class_pixels.sum()

    def merge(self, other: SplitTally) -> None:
        """Adds another split."""
        self.num_images += other.num_images
        self.num_pixels += other.num_pixels
        self.pairs = PairTally.total([self.pairs, other.pairs])
        self.class_pixels += other.class_pixels
        self.class_images += other.class_images
        self.pixels_where_present += other.pixels_where_present


@dataclasses.dataclass(frozen=True)
class Example:
    """An image to show.

    Attributes:
        name: its split and id.
        image: uint8 [H, W, 3], RGB.
        labels: [H, W], class ids and the ignored id.
    """

    name: str
    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.unsignedinteger]


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        title: what was checked.
        base: the folder that file names are shown relative to, if there is one.
        class_names: in order of the ids.
        colors: an RGB color (0..255) per class.
        ignore_label: the id of ignored pixels in the examples.
        splits: a tally per split.
        problems: all that is wrong, by kind.
        notes: remarks about the whole, a sentence each.
        mask_forms: how many masks are "grey", "16-bit grey", "palette" and "colour".
        examples: some of the images.
    """

    title: str
    base: Path | None
    class_names: Sequence[str]
    colors: Sequence[Color]
    ignore_label: int
    splits: Mapping[str, SplitTally]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    mask_forms: Mapping[str, int]
    examples: tuple[Example, ...]

    @property
    def ok(self) -> bool:
        """Whether it can be trained on: nothing is wrong but warnings."""
        return all(problem.is_warning for problem in self.problems)

    @property
    def total(self) -> SplitTally:
        """All splits together. An image that is in two splits counts twice."""
        total = SplitTally.empty(len(self.class_names))
        for tally in self.splits.values():
            total.merge(tally)
        return total

    def shown(self, problem: Problem) -> tuple[str, str]:
        """File and detail for people: names relative to the source where they lie in it."""
        if self.base is None or problem.file == self.base:
            return str(problem.file), problem.detail
        prefix = f"{self.base}{os.sep}"
        return str(problem.file).removeprefix(prefix), problem.detail.replace(prefix, "")


def known_split(result: CheckResult, name: str) -> str:
    """The split of that name; "val" and "validation" mean the same.

    Raises:
        DeepLabError: if there is none; the message lists the splits.
    """
    found = find_split(name, result.splits)
    if found is None:
        unknown = unknown_name("split", name, result.splits)
        raise DeepLabError(f"data set {result.title!r}: {unknown}")
    return found


def class_weights(tally: SplitTally) -> tuple[float, ...]:
    """Median frequency balancing: the median class weighs 1, rarer ones more.

    The frequency of a class is its pixels divided by the labeled pixels of the images in which
    it occurs; its weight is the median of all frequencies divided by its own. A class that never
    occurs weighs 1 and does not enter the median.

    Source: Eigen and Fergus, arXiv 1411.4734, section 6.3.2.
    """
    occurs = tally.class_pixels > 0
    if not occurs.any():
        return (1.0,) * len(occurs)
    frequency = tally.class_pixels / np.maximum(tally.pixels_where_present, 1)
    weights = np.ones(len(occurs))
    weights[occurs] = np.median(frequency[occurs]) / frequency[occurs]
    return tuple(weights.tolist())


def weights_binding(weights: Sequence[float]) -> str:
    """The weights as a line for a gin file, with four digits."""
    return f"LossConfig.class_weights = ({', '.join(f'{weight:.4g}' for weight in weights)})"
