"""The images that a report shows: the worst ones and some at random, as thumbnails."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

Integers = npt.NDArray[np.integer]


@dataclasses.dataclass(frozen=True)
class Scored:
    """An image with what is known of it.

    Attributes:
        image_id: its name.
        image: uint8 [H, W, 3], RGB; of more channels the first three.
        labels: [H, W], class ids and the ignore label.
        predictions: [H, W], class ids.
        accuracy: share of its labeled pixels that are right, 0..1; NaN if none is labeled.
    """

    image_id: str
    image: npt.NDArray[np.uint8]
    labels: Integers
    predictions: Integers
    accuracy: float


class ExampleCollector:
    """Keeps thumbnails of a few images out of many, without ever holding more than these."""

    def __init__(self, worst: int = 6, random: int = 6, longest_side: int = 320) -> None:
        """Starts empty.

        Args:
            worst: how many of the images with the lowest accuracy to keep.
            random: how many others to keep; which ones depends on their names alone, so that the
                reports of two evaluations show the same images.
            longest_side: size of a thumbnail, pixels; smaller images stay as they are.
        """
        self._worst = _Best(worst, lambda scored: scored.accuracy)
        self._random = _Best(random + worst, lambda scored: _hash(scored.image_id))
        self._num_random = random
        self._longest_side = longest_side

    def add(self, scored: Scored) -> None:
        """Looks at one image; one without labeled pixels has no accuracy and is left out."""
        if np.isnan(scored.accuracy):
            return
        keepers = [keep for keep in (self._worst, self._random) if keep.wants(scored)]
        if keepers:
            small = thumbnail(scored, self._longest_side)
            for keep in keepers:
                keep.add(small)

    @property
    def worst(self) -> list[Scored]:
        """Lowest accuracy first."""
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


def thumbnail(scored: Scored, longest_side: int) -> Scored:
    """A smaller copy; labels and predictions by nearest neighbor, so that no class is invented."""
    height, width = scored.labels.shape
    factor = longest_side / max(height, width)
    if factor >= 1:
        return scored
    size = max(1, round(height * factor)), max(1, round(width * factor))
    rows = ((np.arange(size[0]) + 0.5) * height / size[0]).astype(np.intp)[:, None]
    columns = ((np.arange(size[1]) + 0.5) * width / size[1]).astype(np.intp)
    image = Image.fromarray(scored.image).resize(size[::-1], Image.Resampling.BOX)
    return dataclasses.replace(
        scored,
        image=np.asarray(image),
        labels=scored.labels[rows, columns],
        predictions=scored.predictions[rows, columns],
    )


def _hash(image_id: str) -> float:
    return int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=6).digest())
