"""Counts and rates against values worked out by hand, brute force and the original."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deeplab.errors import DeepLabError
from deeplab.evaluation import metrics
from deeplab.evaluation.metrics import Tally, confusion_matrix, summarize
from deeplab.evaluation.result_files import metrics_json

LABELS = np.array([[0, 0, 1, 1], [0, 0, 1, 255], [2, 2, 2, 255]], np.int32)
PREDICTIONS = np.array([[0, 1, 1, 1], [0, 0, 1, 0], [2, 0, 2, 2]], np.int32)
MATRIX = [[3, 1, 0, 0], [0, 3, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
NAMES = ["a", "b", "c", "never"]


def summary_of(labels: np.ndarray, predictions: np.ndarray, names: list[str]) -> dict:
    tally = Tally(len(names), 255)
    tally.add("x", labels, predictions)
    return summarize(tally, names)


def test_confusion_matrix_counts_labels_by_row_and_leaves_ignored_pixels_out():
    matrix = confusion_matrix(LABELS, PREDICTIONS, 4, 255)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == MATRIX


def test_summary_by_hand():
    summary = summary_of(LABELS, PREDICTIONS, NAMES)
    assert summary["per_class_iou"] == {"a": 3 / 5, "b": 3 / 4, "c": 2 / 3, "never": None}
    assert summary["miou"] == pytest.approx((3 / 5 + 3 / 4 + 2 / 3) / 3)
    assert summary["miou_present"] == summary["miou"]
    assert summary["miou_all"] == pytest.approx((3 / 5 + 3 / 4 + 2 / 3) / 4)
    assert summary["pixel_accuracy"] == pytest.approx(8 / 10)
    assert summary["mean_accuracy"] == pytest.approx((3 / 4 + 1 + 2 / 3) / 3)
    assert summary["frequency_weighted_iou"] == pytest.approx(
        (4 * 3 / 5 + 3 * 3 / 4 + 3 * 2 / 3) / 10
    )
    assert summary["confusion_matrix"] == MATRIX
    assert summary["num_images"] == 1


def test_a_class_that_is_only_predicted_lowers_miou_but_not_miou_present():
    summary = summary_of(np.zeros((1, 4), int), np.array([[0, 0, 0, 1]]), ["a", "b"])
    assert summary["per_class_iou"] == {"a": 0.75, "b": 0.0}
    assert summary["miou"] == 0.375
    assert summary["miou_present"] == 0.75
    assert summary["frequency_weighted_iou"] == 0.75


def test_nothing_labeled_gives_null_and_no_nan_in_json():
    summary = summary_of(np.full((2, 2), 255), np.zeros((2, 2), int), ["a", "b"])
    text = metrics_json(summary)
    assert "NaN" not in text
    assert json.loads(text) == summary
    for key in ("miou", "miou_present", "pixel_accuracy", "mean_accuracy"):
        assert summary[key] is None
    assert summary["miou_all"] == 0
    assert set(summary["boundary_iou"].values()) == {None}


def random_pair(seed: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions; with seed 0 most classes are missing in one or both of them."""
    generator = np.random.default_rng(seed)
    used = generator.permutation(num_classes)[: 4 if seed == 0 else num_classes]
    labels = generator.choice([*used[1:], 255], (40, 50))
    return labels, generator.choice(used[:-1], labels.shape)


@pytest.mark.parametrize("seed", range(4))
def test_rates_of_scikit_learn(seed: int):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    labels, predictions = random_pair(seed, 9)
    names = [f"class {index}" for index in range(9)]
    summary = summary_of(labels, predictions, names)
    valid = labels != 255
    pair = labels[valid], predictions[valid]
    known = {"labels": range(9), "average": None, "zero_division": np.nan}
    for key, function in (
        ("precision", sklearn_metrics.precision_score),
        ("recall", sklearn_metrics.recall_score),
        ("f1", sklearn_metrics.f1_score),
    ):
        found = np.array(list(summary[key].values()), float)
        np.testing.assert_allclose(found, function(*pair, **known), rtol=1e-12)
    jaccard = sklearn_metrics.jaccard_score(*pair, labels=range(9), average=None, zero_division=0)
    iou = np.array(list(summary["per_class_iou"].values()), float)
    np.testing.assert_allclose(np.nan_to_num(iou), jaccard, rtol=1e-12)
    assert summary["pixel_accuracy"] == sklearn_metrics.accuracy_score(*pair)
    assert np.array_equal(
        summary["confusion_matrix"], sklearn_metrics.confusion_matrix(*pair, labels=range(9))
    )


def test_mean_iou_of_the_original(reference_data: Path):
    folder = reference_data / "golden" / "extras"
    facts = json.loads((folder / "preprocess.json").read_text())["miou"]
    with np.load(folder / "preprocess.npz") as arrays:
        labels, predictions = arrays["miou_labels"], arrays["miou_pred"]
    matrix = confusion_matrix(labels, predictions, facts["num_classes"], 255)
    assert matrix.tolist() == facts["confusion_rows_are_labels"]
    # The original counts in float32.
    assert metrics.miou(matrix) == pytest.approx(facts["mean_iou"], rel=1e-6)


def test_counts_beyond_32_bits():
    matrix = np.array([[3 * 2**40, 2**40], [0, 2**40]], np.int64)
    assert metrics.pixel_accuracy(matrix) == 0.8


@pytest.mark.parametrize("what", ["label", "predicted"])
def test_unknown_ids_are_named_with_the_image(what: str):
    labels, predictions = np.zeros((2, 3), int), np.zeros((2, 3), int)
    (labels if what == "label" else predictions)[0] = [7, 0, 99]
    with pytest.raises(DeepLabError, match=rf"image street_1: {what} ids 7, 99 .* 5 classes"):
        Tally(5, 255).add("street_1", labels, predictions)


def test_the_ignore_label_is_no_prediction():
    with pytest.raises(DeepLabError, match="predicted ids 255"):
        confusion_matrix(np.array([[0]]), np.array([[255]]), 2, 255)


def test_every_image_counts_once():
    tally = Tally(4, 255)
    tally.add("x", LABELS, PREDICTIONS)
    with pytest.raises(DeepLabError, match="image x came twice"):
        tally.add("x", LABELS, PREDICTIONS)
    assert tally.matrix.tolist() == MATRIX


def test_images_of_different_size_are_refused():
    with pytest.raises(DeepLabError, match=r"image x: the label is \(3, 4\)"):
        Tally(4, 255).add("x", LABELS, PREDICTIONS[:, :3])


def test_class_names_must_fit():
    tally = Tally(2, 255)
    tally.add("x", np.zeros((1, 1), int), np.zeros((1, 1), int))
    for names in (["a"], ["a", "a"]):
        with pytest.raises(DeepLabError, match="2 classes need as many different names"):
            summarize(tally, names)


def test_boundary_iou_by_hand():
    # Two wrong pixels: one touches the boundary, one is three pixels away from it.
    labels = np.array([[0] * 5 + [1] * 5])
    predictions = np.array([[0, 0, 1, 0, 1] + [1] * 5])
    tally = Tally(2, 255, widths=(1, 2, 3))
    tally.add("x", labels, predictions)
    bands = {width: band.tolist() for width, band in tally.band_matrices.items()}
    assert bands == {1: [[0, 1], [0, 1]], 2: [[1, 1], [0, 2]], 3: [[1, 2], [0, 3]]}
    assert summarize(tally, ["a", "b"])["boundary_iou"] == {
        "1": pytest.approx((0 + 1 / 2) / 2),
        "2": pytest.approx((1 / 2 + 2 / 3) / 2),
        "3": pytest.approx((1 / 3 + 3 / 5) / 2),
    }


def test_void_pixels_make_a_boundary_and_do_not_count():
    labels = np.array([[0, 0, 0, 255, 255, 0, 0, 0]])
    tally = Tally(2, 255, widths=(1, 2))
    tally.add("x", labels, np.zeros_like(labels))
    assert {w: int(m.sum()) for w, m in tally.band_matrices.items()} == {1: 2, 2: 4}


def test_counting_images_together_or_apart_is_the_same():
    generator = np.random.default_rng(0)
    labels = generator.choice([0, 1, 2, 255], (3, 20, 30))
    predictions = generator.integers(0, 3, labels.shape)
    tally = Tally(3, 255)
    parts = [tally.add(str(i), labels[i], predictions[i]) for i in range(3)]
    assert np.array_equal(tally.matrix, np.sum(parts, axis=0))
    assert np.array_equal(tally.matrix, confusion_matrix(labels, predictions, 3, 255))


def test_counting_in_several_processes_is_the_same():
    generator = np.random.default_rng(0)
    labels = generator.choice([0, 1, 2, 255], (5, 20, 30))
    predictions = generator.integers(0, 3, labels.shape)
    whole, total = Tally(3, 255), Tally(3, 255)
    for share in (range(0, 5, 2), range(1, 5, 2)):
        part = Tally(3, 255)
        for i in share:
            part.add(str(i), labels[i], predictions[i])
            whole.add(str(i), labels[i], predictions[i])
        counted = json.loads(json.dumps(part.counted()))
        total.add_counted(counted)
    names = ["a", "b", "c"]
    assert summarize(total, names) == summarize(whole, names)
    assert total.num_images == 5
    with pytest.raises(DeepLabError, match="image 1 came twice"):
        total.add_counted(counted)
