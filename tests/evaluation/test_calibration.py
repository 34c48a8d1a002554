"""Calibration against scikit-learn and by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scored_images import random_images

from deeplab.evaluation.calibration import BINS, Calibration
from deeplab.evaluation.examples import Scored


def with_confidence(image: Scored, seed: int) -> Scored:
    generator = np.random.default_rng(seed)
    confidence = generator.random(image.labels.shape) ** 0.3
    confidence[:2] = generator.integers(0, BINS + 1, confidence[:2].shape) / BINS  # at the edges
    return dataclasses.replace(image, confidence=confidence.astype(np.float32))


def test_curve_and_error_of_scikit_learn():
    calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve
    images = [with_confidence(image, seed) for seed, image in enumerate(random_images(3, 4))]
    calibration = Calibration(255)
    for image in images:
        calibration.add(image)
    found = calibration.metrics()["calibration"]
    right = np.concatenate([(i.labels == i.predictions)[i.labels != 255] for i in images])
    confidence = np.concatenate([i.confidence[i.labels != 255] for i in images]).astype(float)
    accuracies, confidences = calibration_curve(right, confidence, n_bins=BINS)
    filled = [row for row in found["curve"] if row["pixels"]]
    assert [row["accuracy"] for row in filled] == pytest.approx(accuracies.tolist())
    assert [row["confidence"] for row in filled] == pytest.approx(confidences.tolist())
    weights = np.array([row["pixels"] for row in filled]) / len(right)
    assert found["ece"] == pytest.approx((weights * abs(accuracies - confidences)).sum())
    assert [row["bin"] for row in found["curve"]][::7] == [
        [0, 1 / 15],
        [7 / 15, 8 / 15],
        [14 / 15, 1],
    ]


def test_by_hand():
    (image,) = random_images(1, 2, size=lambda index: (1, 5))
    labels, predictions = np.array([[0, 0, 1, 1, 255]]), np.array([[0, 1, 1, 1, 1]])
    confidence = np.array([[0.5, 0.5, 1.0, 1.0, 0.1]], np.float32)
    calibration = Calibration(255)
    calibration.add(
        dataclasses.replace(image, labels=labels, predictions=predictions, confidence=confidence)
    )
    found = calibration.metrics()["calibration"]
    assert found["ece"] == 0
    filled = {index: row["pixels"] for index, row in enumerate(found["curve"]) if row["pixels"]}
    assert filled == {7: 2, 14: 2}


def test_nothing_labeled():
    found = Calibration(255).metrics()["calibration"]
    assert found["ece"] is None
    assert all(row["accuracy"] is None for row in found["curve"])
