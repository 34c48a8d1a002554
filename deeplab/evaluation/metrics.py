"""Counts of labels against predictions, and the rates that follow from them.

Everything is derived from int64 confusion matrices [num_classes, num_classes], rows labels and
columns predictions: one over all labeled pixels, one per boundary band. Rates are fractions 0..1;
a rate without any pixel to take it over is NaN in arrays and None (null) in the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplab.errors import DeepLabError
from deeplab.evaluation.boundary import boundary_distance, rings

BOUNDARY_WIDTHS = (1, 2, 3, 5, 10)

Integers = npt.NDArray[np.integer]
Counts = npt.NDArray[np.int64]
Rates = npt.NDArray[np.float64]


class Tally:
    """Adds up the confusion matrices of images, over everything and per boundary band."""

    def __init__(
        self, num_classes: int, ignore_label: int, widths: Sequence[int] = BOUNDARY_WIDTHS
    ) -> None:
        """Starts at zero.

        Args:
            num_classes: number of classes; label and prediction ids are below it.
            ignore_label: the label id of pixels that are not counted.
            widths: boundary band widths, pixels, ascending.
        """
        if list(widths) != sorted(set(widths)) or not widths:
            raise ValueError(f"widths must be ascending, got {tuple(widths)}")
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.widths = tuple(widths)
        self._seen: set[str] = set()
        # Rings between successive widths, the last one being the inside of the objects.
        self._rings = np.zeros((len(widths) + 1, num_classes, num_classes), np.int64)

    @property
    def num_images(self) -> int:
        """How many images were added."""
        return len(self._seen)

    @property
    def matrix(self) -> Counts:
        """The confusion matrix over all labeled pixels, int64 [C, C]."""
        return self._rings.sum(axis=0)

    @property
    def band_matrices(self) -> dict[int, Counts]:
        """Band width in pixels -> the confusion matrix inside that band, int64 [C, C]."""
        nested = np.cumsum(self._rings[:-1], axis=0)
        return dict(zip(self.widths, nested, strict=True))

    def add(self, image_id: str, labels: Integers, predictions: Integers) -> Counts:
        """Counts one image.

        Args:
            image_id: its name, for error messages; each image is counted once.
            labels: [H, W], class ids and `ignore_label`.
            predictions: [H, W], class ids.

        Returns:
            The image's own confusion matrix, int64 [C, C].

        Raises:
            DeepLabError: if an id is not a class, the shapes differ or the image came before.
        """
        if image_id in self._seen:
            raise DeepLabError(f"image {image_id} came twice: every image is counted once")
        valid = self._validate(image_id, labels, predictions)
        ring = rings(boundary_distance(labels)[valid], self.widths)
        counts = ring_matrices(
            ring, labels[valid], predictions[valid], len(self.widths) + 1, self.num_classes
        )
        self._rings += counts
        self._seen.add(image_id)
        return counts.sum(axis=0)

    def counted(self) -> dict[str, Any]:
        """What was counted so far, as plain lists, for `add_counted` of another process' tally."""
        return {"images": sorted(self._seen), "rings": self._rings.tolist()}

    def add_counted(self, counted: Mapping[str, Any]) -> None:
        """Adds what a tally of the same classes and widths has counted.

        Args:
            counted: its `counted()`.

        Raises:
            DeepLabError: if both have seen the same image.
        """
        both = self._seen.intersection(counted["images"])
        if both:
            raise DeepLabError(f"image {min(both)} came twice: every image is counted once")
        self._seen.update(counted["images"])
        self._rings += np.asarray(counted["rings"], np.int64)

    def _validate(
        self, image_id: str, labels: Integers, predictions: Integers
    ) -> npt.NDArray[np.bool_]:
        """Which pixels count, bool [H, W]."""
        if labels.shape != predictions.shape:
            raise DeepLabError(
                f"image {image_id}: the label is {labels.shape} pixels and the prediction "
                f"{predictions.shape}"
            )
        valid = labels != self.ignore_label
        for what, ids in (("label", labels[valid]), ("predicted", predictions)):
            if ids.size and not 0 <= ids.min() <= ids.max() < self.num_classes:
                unknown = np.unique(ids[(ids < 0) | (ids >= self.num_classes)])
                raise DeepLabError(
                    f"image {image_id}: {what} ids {_list_ids(unknown)} are not among the "
                    f"{self.num_classes} classes (0..{self.num_classes - 1}; "
                    f"{self.ignore_label} = ignore)"
                )
        return valid


def ring_matrices(
    ring: npt.NDArray[np.intp],
    labels: Integers,
    predictions: Integers,
    num_rings: int,
    num_classes: int,
) -> Counts:
    """Confusion matrices of the pixels of each ring, int64 [num_rings, C, C].

    Args:
        ring: [pixels], below `num_rings`; so are the class ids of the next two `num_classes`.
        labels: [pixels].
        predictions: [pixels].
        num_rings: how many matrices.
        num_classes: their number of rows.
    """
    cells = (ring * num_classes + labels) * num_classes + predictions
    shape = num_rings, num_classes, num_classes
    counts = np.bincount(cells, minlength=int(np.prod(shape)))
    return counts.astype(np.int64, copy=False).reshape(shape)


def confusion_matrix(
    labels: Integers, predictions: Integers, num_classes: int, ignore_label: int
) -> Counts:
    """Counts one pair of images of any shape, int64 [C, C]: rows labels, columns predictions.

    Raises:
        DeepLabError: if an id is not a class.
    """
    flat = labels.reshape(1, -1), predictions.reshape(1, -1)
    return Tally(num_classes, ignore_label).add("(unnamed)", *flat)


def class_iou(matrix: Counts) -> Rates:
    """Intersection over union per class, [C]; NaN where neither label nor prediction has it."""
    return iou_of_sums(np.stack([np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)]))


def iou_of_sums(sums: npt.NDArray[Any]) -> Rates:
    """Intersection over union from right, labeled and predicted pixels, [..., 3, C] -> [..., C]."""
    right, labeled, predicted = np.moveaxis(sums, -2, 0)
    return ratio(right, labeled + predicted - right)


def class_accuracy(matrix: Counts) -> Rates:
    """Share of each class' label pixels that are right, [C]; NaN where no label has it."""
    return ratio(np.diagonal(matrix), matrix.sum(axis=1))


def class_precision(matrix: Counts) -> Rates:
    """Share of each class' predicted pixels that are right, [C]; NaN where none is predicted."""
    return ratio(np.diagonal(matrix), matrix.sum(axis=0))


def class_f1(matrix: Counts) -> Rates:
    """Harmonic mean of precision and recall (the accuracy of a class), [C]; NaN as the IoU."""
    iou = class_iou(matrix)
    return 2 * iou / (1 + iou)


def class_share(matrix: Counts) -> Rates:
    """Share of the labeled pixels that each class takes, [C]; NaN if nothing is labeled."""
    return ratio(matrix.sum(axis=1), matrix.sum())


def pixel_accuracy(matrix: Counts) -> float:
    """Share of the labeled pixels that are right; NaN if nothing is labeled."""
    return float(ratio(np.trace(matrix), matrix.sum()))


def miou(matrix: Counts) -> float:
    """Mean IoU over the classes with a non-empty union, as tf.metrics.mean_iou; else NaN."""
    return mean_of(class_iou(matrix))


def summarize(tally: Tally, class_names: Sequence[str]) -> dict[str, Any]:
    """The part of metrics.json that follows from the counts; plain numbers, lists and None.

    Args:
        tally: the counts.
        class_names: one name per class id, all different.

    Raises:
        DeepLabError: if the names do not fit the classes.
    """
    if len(class_names) != tally.num_classes or len(set(class_names)) != len(class_names):
        raise DeepLabError(
            f"{tally.num_classes} classes need as many different names, got "
            f"{len(class_names)} names ({len(set(class_names))} different)"
        )
    return {
        **rates_of(tally.matrix, class_names),
        "boundary_iou": {
            str(width): number(miou(band)) for width, band in tally.band_matrices.items()
        },
        "num_images": tally.num_images,
    }


def rates_of(matrix: Counts, class_names: Sequence[str]) -> dict[str, Any]:
    """The part of metrics.json that follows from one confusion matrix, which comes with it.

    Args:
        matrix: [C, C].
        class_names: one per class id.
    """
    iou = class_iou(matrix)
    present = matrix.sum(axis=1) > 0
    return {
        "miou": number(miou(matrix)),
        "miou_present": number(mean_of(iou[present])),
        "miou_all": float(np.mean(np.nan_to_num(iou))),
        "pixel_accuracy": number(pixel_accuracy(matrix)),
        "mean_accuracy": number(mean_of(class_accuracy(matrix))),
        "frequency_weighted_iou": number(
            float(np.sum((class_share(matrix) * iou)[present])) if present.any() else np.nan
        ),
        "per_class_iou": by_class(class_names, iou),
        "precision": by_class(class_names, class_precision(matrix)),
        "recall": by_class(class_names, class_accuracy(matrix)),
        "f1": by_class(class_names, class_f1(matrix)),
        "confusion_matrix": matrix.tolist(),
    }


def by_class(class_names: Sequence[str], rates: Rates) -> dict[str, float | None]:
    """A rate [C] as metrics.json has it."""
    return {name: number(value) for name, value in zip(class_names, rates, strict=True)}


def number(value: float) -> float | None:
    """JSON knows no NaN: null says that there was nothing to measure."""
    return None if np.isnan(value) else float(value)


def ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Rates:
    """Part / whole in double precision, NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def mean_of(rates: Rates) -> float:
    """Mean of what is not NaN; NaN if nothing is left."""
    return float(means_of(rates))


def means_of(rates: Rates) -> Rates:
    """Mean over the last axis of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(rates)
    return ratio(np.where(known, rates, 0).sum(axis=-1), known.sum(axis=-1))


def _list_ids(ids: Integers, limit: int = 10) -> str:
    """A readable list of ids, cut short after `limit`."""
    listed = ", ".join(str(int(value)) for value in ids[:limit])
    return f"{listed}, ..." if ids.size > limit else listed
