"""The images that a report shows: the worst ones and some at random, as thumbnails."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from deeplab.evaluation.metrics import Counts, Integers, miou
from deeplab.page import lot, thumbnail


@dataclasses.dataclass(frozen=True)
class Scored:
    """An image with what is known of it.

    Attributes:
        image_id: its name.
        image: uint8 [H, W, 3], RGB; of more channels the first three.
        labels: [H, W], class ids and the ignore label.
        predictions: [H, W], class ids.
        counts: its confusion matrix, int64 [C, C].
        confidence: the probability of the predicted class, float32 [H, W]; None: not asked for.
    """

    image_id: str
    image: npt.NDArray[np.uint8]
    labels: Integers
    predictions: Integers
    counts: Counts
    confidence: npt.NDArray[np.float32] | None = None

    @cached_property
    def miou(self) -> float:
        """Mean IoU over the classes in its label or prediction; NaN if nothing is labeled."""
        return miou(self.counts)


class ExampleCollector:
    """Keeps thumbnails of a few images out of many, without ever holding more than these."""

    def __init__(self, worst: int = 6, random: int = 6, longest_side: int = 320) -> None:
        """Starts empty.

        Args:
            worst: how many of the images with the lowest mean IoU to keep.
            random: how many others to keep; which ones depends on their names alone, so that the
                reports of two evaluations show the same images.
            longest_side: size of a thumbnail, pixels; smaller images stay as they are.
        """
        self._worst = _Best(worst, lambda scored: scored.miou)
        self._random = _Best(random + worst, lambda scored: lot(scored.image_id))
        self._num_random = random
        self._longest_side = longest_side

    def add(self, scored: Scored) -> None:
        """Looks at one image; one without labeled pixels has no IoU and is left out."""
        if np.isnan(scored.miou):
            return
        keepers = [keep for keep in (self._worst, self._random) if keep.wants(scored)]
        if keepers:
            image, labels, predictions = thumbnail(
                self._longest_side, scored.image, scored.labels, scored.predictions
            )
            small = dataclasses.replace(scored, image=image, labels=labels, predictions=predictions)
            for keep in keepers:
                keep.add(small)

    @property
    def worst(self) -> list[Scored]:
        """Lowest mean IoU first."""
        return self._worst.items

    @property
    def random(self) -> list[Scored]:
        """Some that are not among the worst."""
        shown = {scored.image_id for scored in self.worst}
        others = [scored for scored in self._random.items if scored.image_id not in shown]
        return others[: self._num_random]


class _Best:
    """The `count` items with the lowest key; ties go to the first name."""

    def __init__(self, count: int, key: Callable[[Scored], float]) -> None:
        self._count = count
        self._key = key
        self.items: list[Scored] = []

    def _order(self, scored: Scored) -> tuple[float, str]:
        return self._key(scored), scored.image_id

    def wants(self, scored: Scored) -> bool:
        if len(self.items) < self._count:
            return True
        return bool(self.items) and self._order(scored) < self._order(self.items[-1])

    def add(self, scored: Scored) -> None:
        self.items = heapq.nsmallest(self._count, [*self.items, scored], key=self._order)
