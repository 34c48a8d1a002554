"""Intervals of the IoU by the bootstrap over images.

The images of an evaluation are a sample of those that the model will see. Drawing as many of them,
with replacement, again and again shows how much the IoU depends on the draw; the interval holds the
middle 95 % (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: percentile
intervals). What the draws have in common goes into the interval of a difference: both models are
measured on the same images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from deeplab.evaluation.metrics import Counts, Rates, iou_of_sums, means_of

LEVEL = 0.95
RESAMPLES = 1000

_SEED = 0
_DRAWS_AT_ONCE = 2**22  # numbers of the matrix that says how often each image was drawn

Interval = list[float] | None


def intervals(sums: Counts, class_names: Sequence[str]) -> dict[str, Any]:
    """The key "intervals" of metrics.json.

    Args:
        sums: int64 [N, 3, C], right, labeled and predicted pixels of each class in each image.
        class_names: one per class id.

    Returns:
        {"level": 0.95, "resamples": 1000, "miou": [low, high], "per_class_iou": {name: [low,
        high]}}; None where there is no IoU, and everywhere for less than two images.
    """
    return _described(_resampled_iou(sums), len(sums), class_names)


def difference_intervals(
    ours: Counts, others: Counts, class_names: Sequence[str]
) -> dict[str, Any]:
    """Like `intervals`, of the IoU of ours minus that of the others on the same draws.

    Args:
        ours: int64 [N, 3, C].
        others: of the same images in the same order.
        class_names: one per class id.
    """
    mine, theirs = (_resampled_iou(sums) for sums in (ours, others))
    return _described((a - b for a, b in zip(mine, theirs, strict=True)), len(ours), class_names)


def _resampled_iou(sums: Counts) -> Iterator[Rates]:
    """IoU of some resamples at a time, [resamples, 1 + C]: the mean first, then each class."""
    generator = np.random.default_rng(_SEED)
    count = len(sums)
    # Whole numbers, exact in double precision, and multiplied by BLAS.
    flat = sums.reshape(count, -1).astype(np.float64)
    step = max(1, _DRAWS_AT_ONCE // max(1, count))
    for start in range(0, RESAMPLES, step):
        draws = min(step, RESAMPLES - start)
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=draws)
        iou = iou_of_sums((drawn.astype(np.float64) @ flat).reshape(draws, *sums.shape[1:]))
        yield np.column_stack([means_of(iou), iou])


def _described(
    parts: Iterator[Rates], num_images: int, class_names: Sequence[str]
) -> dict[str, Any]:
    if num_images < 2:
        found: list[Interval] = [None] * (1 + len(class_names))
    else:
        found = [_middle(column) for column in np.concatenate(list(parts)).T]
    return {
        "level": LEVEL,
        "resamples": RESAMPLES,
        "miou": found[0],
        "per_class_iou": dict(zip(class_names, found[1:], strict=True)),
    }


def _middle(values: Rates) -> Interval:
    """The bounds of the middle part of what is not NaN."""
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    return [float(bound) for bound in np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])]
