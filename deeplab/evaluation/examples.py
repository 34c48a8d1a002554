"""The images that a report shows, as thumbnails: worst, median and best ones, or some by lot."""

from __future__ import annotations

import bisect
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
    """Keeps thumbnails of a few images out of many, without ever holding more than these.

    An image without labeled pixels has no mean IoU and is left out.
    """

    def __init__(self, ranked: int = 12, random: int = 0, longest_side: int = 320) -> None:
        """Starts empty.

        Args:
            ranked: how many of the images with the lowest, middle and highest mean IoU to keep, of
                each at most.
            random: how many to keep by lot; which ones depends on their names alone, so that two
                evaluations show the same images.
            longest_side: size of a thumbnail, pixels; smaller images stay as they are.
        """
        self._ranked = ranked
        self._longest_side = longest_side
        self._scores: list[float] = []  # of all images, ascending
        self._worst = _Nearest(ranked, lambda scored: scored.miou)
        # The middle is only known at the end: more of those near what it is so far.
        self._median = _Nearest(3 * ranked, lambda scored: abs(scored.miou - self._middle))
        self._best = _Nearest(ranked, lambda scored: -scored.miou)
        self._random = _Nearest(random, lambda scored: lot(scored.image_id))

    def add(self, scored: Scored) -> None:
        """Looks at one image."""
        if np.isnan(scored.miou):
            return
        bisect.insort(self._scores, scored.miou)
        keepers = (self._worst, self._median, self._best, self._random)
        wanting = [keeper for keeper in keepers if keeper.wants(scored)]
        if wanting:
            image, labels, predictions = thumbnail(
                self._longest_side, scored.image, scored.labels, scored.predictions
            )
            small = dataclasses.replace(
                scored, image=image, labels=labels, predictions=predictions, confidence=None
            )
            for keeper in wanting:
                keeper.add(small)

    @property
    def _middle(self) -> float:
        """The median of the scores so far."""
        return self._scores[(len(self._scores) - 1) // 2]

    @property
    def ranked(self) -> tuple[list[Scored], list[Scored], list[Scored]]:
        """The worst, some around the median, and the best; each image once, worst first."""
        count = min(self._ranked, -(-len(self._scores) // 3))
        worst = self._worst.items[:count]
        shown = {scored.image_id for scored in worst}
        best = [item for item in self._best.items if item.image_id not in shown][:count]
        shown |= {scored.image_id for scored in best}
        near = self._median.ordered()
        median = [item for item in near if item.image_id not in shown][:count]
        return worst, sorted(median, key=lambda scored: scored.miou), best

    @property
    def random(self) -> list[Scored]:
        """Those drawn by lot."""
        return self._random.items


class _Nearest:
    """The `count` items with the lowest key; ties go to the first name."""

    def __init__(self, count: int, key: Callable[[Scored], float]) -> None:
        self._count = count
        self._key = key
        self.items: list[Scored] = []

    def _order(self, scored: Scored) -> tuple[float, str]:
        return self._key(scored), scored.image_id

    def ordered(self) -> list[Scored]:
        """The items by what their keys are now."""
        return sorted(self.items, key=self._order)

    def wants(self, scored: Scored) -> bool:
        if len(self.items) < self._count:
            return True
        return bool(self.items) and self._order(scored) < max(map(self._order, self.items))

    def add(self, scored: Scored) -> None:
        self.items = heapq.nsmallest(self._count, [*self.items, scored], key=self._order)
