"""The boundary F-score of Csurka et al., "What is a good evaluation measure for semantic
segmentation?" (BMVC 2013).

In every image and for every class: the precision is the share of the pixels on the predicted
boundary that lie within a tolerance of the labeled boundary of that class, the recall the share of
the labeled boundary that lies within it of the predicted one, F their harmonic mean. The tolerance
is 0.75 % of the image's diagonal (Euclidean distance), as there. The score of an image is the mean
over the classes that have a boundary in the label or the prediction, the score of a data set the
mean over its images; that of a class is the mean over the images where it has a boundary.

The boundary of a class are its pixels with one of another id among their eight neighbors; the edge
of the image is no boundary. What is predicted on ignored pixels changes nothing: they are ignored
pixels of the prediction as well, and what borders on them is boundary in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from deeplab.evaluation.boundary import touches_other_label
from deeplab.evaluation.examples import Scored
from deeplab.evaluation.metrics import Rates, by_class, mean_of, number, ratio

TOLERANCE = 0.0075  # of the diagonal


class BoundaryF:
    """Averages the boundary F-scores of images."""

    def __init__(self, class_names: Sequence[str], ignore_label: int) -> None:
        """Starts at zero."""
        self._class_names = class_names
        self._ignore_label = ignore_label
        self._sums = np.zeros((2, len(class_names)))  # of F, and of images, by class
        self._of_images: list[float] = []

    def add(self, scored: Scored) -> None:
        """Counts one image; one without any boundary has no score."""
        scores = boundary_f(
            scored.labels, scored.predictions, len(self._class_names), self._ignore_label
        )
        known = ~np.isnan(scores)
        if known.any():
            self._sums += np.where(known, scores, 0), known
            self._of_images.append(mean_of(scores))

    def metrics(self) -> dict[str, Any]:
        """`boundary_f`: {"mean": rate, "per_class": {name: rate}, "tolerance": of the diagonal}."""
        return {
            "boundary_f": {
                "mean": number(mean_of(np.array(self._of_images))),
                "per_class": by_class(self._class_names, ratio(*self._sums)),
                "tolerance": TOLERANCE,
            }
        }


def boundary_f(
    labels: npt.NDArray[np.integer],
    predictions: npt.NDArray[np.integer],
    num_classes: int,
    ignore_label: int,
) -> Rates:
    """F-score of each class in one image, [C]; NaN for a class without boundary.

    Args:
        labels: [H, W], class ids and `ignore_label`.
        predictions: [H, W], class ids.
        num_classes: number of classes.
        ignore_label: the label id of ignored pixels.
    """
    tolerance = TOLERANCE * float(np.hypot(*labels.shape))
    void = labels == ignore_label
    predictions = np.where(void, ignore_label, predictions)
    of_label, of_prediction = (touches_other_label(ids) & ~void for ids in (labels, predictions))
    # Pixels that are on both boundaries of a class have a distance of 0: most of them, and no
    # search is needed.
    both = of_label & of_prediction & (labels == predictions)
    exact = np.bincount(labels[both], minlength=num_classes)
    sides = [
        _Side(np.stack(np.nonzero(where), axis=1), ids[where], both[where])
        for where, ids in ((of_label, labels), (of_prediction, predictions))
    ]
    matched, total = np.zeros((2, 2, num_classes))
    for index, (side, other) in enumerate(zip(sides, sides[::-1], strict=True)):
        near = _ids_near(side, other, tolerance)
        matched[index] = exact + np.bincount(near, minlength=num_classes)
        total[index] = np.bincount(side.ids, minlength=num_classes)
    recall, precision = (ratio(part, whole) for part, whole in zip(matched, total, strict=True))
    # A class with a boundary on one side only has matched nothing.
    rates = np.nan_to_num(precision), np.nan_to_num(recall)
    scores = np.nan_to_num(ratio(2 * rates[0] * rates[1], rates[0] + rates[1]))
    return np.where(total.any(axis=0), scores, np.nan)


class _Side(NamedTuple):
    """The boundary pixels of the label or of the prediction.

    Attributes:
        places: [pixels, 2], row and column.
        ids: [pixels], of their classes.
        is_common: [pixels], whether the other side has the same pixel.
    """

    places: npt.NDArray[np.intp]
    ids: npt.NDArray[np.integer]
    is_common: npt.NDArray[np.bool_]


def _ids_near(side: _Side, other: _Side, tolerance: float) -> npt.NDArray[np.integer]:
    """Class ids of the pixels of one side alone that are near one of the same class."""
    ids = side.ids[~side.is_common]
    if not (ids.size and other.ids.size):
        return ids[:0]
    # The class as a third axis, in steps beyond the tolerance: one tree for all classes.
    step = 2 * tolerance + 1
    places = np.column_stack([other.places, other.ids * step])
    tree = KDTree(places, balanced_tree=False, compact_nodes=False)  # made faster, and asked once
    places = np.column_stack([side.places[~side.is_common], ids * step])
    beyond = np.nextafter(tolerance, np.inf)
    distance, _ = tree.query(places, distance_upper_bound=beyond, workers=-1)
    return ids[distance <= tolerance]
