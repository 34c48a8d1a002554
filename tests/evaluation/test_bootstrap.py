"""Intervals against drawing images one by one, and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scored_images import counts_of, random_images

from deeplab.evaluation import bootstrap
from deeplab.evaluation.bootstrap import difference_intervals, intervals
from deeplab.evaluation.metrics import class_iou, iou_of_sums, means_of

NAMES = ["a", "b", "c", "never"]


def test_an_interval_is_that_of_images_drawn_one_by_one():
    counts = counts_of(random_images(20, 3, unused=1, size=lambda index: (4 + index, 8)), 4)
    found = intervals(counts.sums, NAMES)
    generator = np.random.default_rng(99)
    dense = counts.cells.toarray().reshape(20, 4, 4)
    drawn = [dense[generator.integers(0, 20, 20)].sum(axis=0) for _ in range(4000)]
    iou = np.array([class_iou(matrix) for matrix in drawn])
    bounds = np.quantile(iou[:, 0], [0.025, 0.975])
    width = bounds[1] - bounds[0]
    assert found["per_class_iou"]["a"] == pytest.approx(bounds.tolist(), abs=0.08 * width)
    bounds = np.quantile(iou[:, :3].mean(axis=1), [0.025, 0.975])
    assert found["miou"] == pytest.approx(bounds.tolist(), abs=0.08 * (bounds[1] - bounds[0]))
    assert found["per_class_iou"]["never"] is None
    assert (found["level"], found["resamples"]) == (0.95, 1000)


def test_the_same_images_give_the_same_interval_in_parts_of_any_size(
    monkeypatch: pytest.MonkeyPatch,
):
    sums = counts_of(random_images(9, 3), 3).sums
    first = intervals(sums, NAMES[:3])
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 9 * 70)
    assert intervals(sums, NAMES[:3]) == first


def population(generator: np.random.Generator, count: int) -> np.ndarray:
    """Right, labeled and predicted pixels of three classes in images of different difficulty."""
    labeled = generator.integers(200, 2000, (count, 3))
    quality = np.clip(generator.normal(0.7, 0.15, (count, 1)), 0, 1)
    right = generator.binomial(labeled, quality)
    return np.stack([right, labeled, generator.poisson(labeled)], axis=1)


def test_nineteen_of_twenty_intervals_hold_the_truth(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 200)
    generator = np.random.default_rng(7)
    truth = iou_of_sums(population(generator, 200_000).sum(axis=0))
    expected = [means_of(truth), *truth]
    holds = []
    for _ in range(300):
        found = intervals(population(generator, 60), NAMES[:3])
        bounds = [found["miou"], *found["per_class_iou"].values()]
        holds.append(
            [low <= value <= high for (low, high), value in zip(bounds, expected, strict=True)]
        )
    # 95 %, less what 60 images and 200 draws cost; the standard error of a rate is 1.3 points.
    np.testing.assert_array_less(0.905, np.mean(holds, axis=0))
    np.testing.assert_array_less(np.mean(holds, axis=0), 0.985)


def test_what_both_models_share_is_not_in_the_interval_of_their_difference():
    ours = counts_of(random_images(30, 3, error=0.30), 3).sums
    slightly_worse = ours.copy()
    slightly_worse[:, 0] -= (slightly_worse[:, 0] * 0.02).astype(np.int64) + 1
    low, high = difference_intervals(ours, slightly_worse, NAMES[:3])["miou"]
    own = intervals(ours, NAMES[:3])["miou"]
    assert 0 < low < high and high - low < 0.2 * (own[1] - own[0])
    same = difference_intervals(ours, ours, NAMES[:3])
    assert same["miou"] == [0, 0]
    turned = difference_intervals(slightly_worse, ours, NAMES[:3])["miou"]
    assert turned == pytest.approx([-high, -low])


def test_one_image_has_no_interval():
    found = intervals(counts_of(random_images(1, 3), 3).sums, NAMES[:3])
    assert found["miou"] is None and set(found["per_class_iou"].values()) == {None}


def test_five_thousand_images_of_150_classes_in_seconds():
    generator = np.random.default_rng(0)
    sums = generator.integers(0, 100, (5000, 3, 150)) * (generator.random((5000, 1, 150)) < 0.1)
    sums[:, 1:] += sums[:, :1]
    assert intervals(sums, [str(index) for index in range(150)])["miou"] is not None
