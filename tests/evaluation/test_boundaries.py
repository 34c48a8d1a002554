"""Distances, trimap and boundary F-score against values by hand and SciPy's distance transforms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scored_images import random_images, scored

from deeplab.evaluation.boundary import FAR, boundary_distance, void_distance
from deeplab.evaluation.boundary_f import TOLERANCE, BoundaryF, boundary_f
from deeplab.evaluation.metrics import confusion_matrix, miou
from deeplab.evaluation.trimap import TRIMAP_WIDTHS, Trimap


def test_boundary_distance_by_hand():
    labels = np.array([[0, 0, 0, 0, 1, 1, 1]] * 2)
    assert boundary_distance(labels).tolist() == [[4, 3, 2, 1, 1, 2, 3]] * 2


def test_diagonal_neighbors_touch_and_the_edge_of_the_image_does_not():
    labels = np.zeros((4, 5), int)
    labels[0, 0] = 1
    expected = [[1, 1, 2, 3, 4], [1, 1, 2, 3, 4], [2, 2, 2, 3, 4], [3, 3, 3, 3, 4]]
    assert boundary_distance(labels).tolist() == expected


def test_without_another_label_or_void_everything_is_far():
    assert (boundary_distance(np.zeros((3, 4), int)) == FAR).all()
    assert (void_distance(np.zeros((3, 4), int), 255) == FAR).all()


@pytest.mark.parametrize("seed", range(4))
def test_boundary_distance_by_brute_force(seed: int):
    generator = np.random.default_rng(seed)
    blocks = generator.choice([0, 1, 2, 255], (3, 4))
    labels = np.kron(blocks, np.ones((7, 5), int))[: 21 - seed]
    rows, columns = np.indices(labels.shape).reshape(2, -1)
    chebyshev = np.maximum(abs(rows[:, None] - rows[None]), abs(columns[:, None] - columns[None]))
    other = labels.ravel()[:, None] != labels.ravel()[None]
    nearest = np.where(other, chebyshev, FAR).min(axis=1).reshape(labels.shape)
    assert np.array_equal(boundary_distance(labels), nearest)


def test_trimap_is_the_dilated_void():
    images = random_images(3, 4, size=lambda index: (60, 70 + index))
    trimap = Trimap(4, 255)
    total = {width: np.zeros((4, 4), np.int64) for width in TRIMAP_WIDTHS}
    for image in images:
        image.labels[:, 20:] = np.where(image.labels[:, 20:] == 255, 0, image.labels[:, 20:])
        trimap.add(image)
        void = image.labels == 255
        for width in TRIMAP_WIDTHS:
            band = ndimage.binary_dilation(void, np.ones((3, 3)), iterations=width) & ~void
            total[width] += confusion_matrix(image.labels[band], image.predictions[band], 4, 255)
    expected = {str(width): miou(matrix) for width, matrix in total.items()}
    assert trimap.metrics() == {"trimap_iou": pytest.approx(expected, rel=1e-12)}


def test_there_is_no_trimap_without_void():
    ids = np.zeros((5, 5), int)
    trimap = Trimap(2, 255)
    trimap.add(scored("x", ids, ids, 2))
    assert trimap.metrics() == {"trimap_iou": None}
    trimap.add(scored("y", np.full((5, 5), 255), ids, 2))  # and nothing else in the image
    assert set(trimap.metrics()["trimap_iou"].values()) == {None}


def with_distance_transforms(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> list:
    """The score as it is written down, a class at a time."""
    tolerance = TOLERANCE * np.sqrt(labels.shape[0] ** 2 + labels.shape[1] ** 2)
    predictions = np.where(labels == 255, 255, predictions)
    scores = []
    for class_id in range(num_classes):
        boundaries = []
        for ids in (predictions, labels):
            inside = ids == class_id
            edge = np.pad(inside, 1, mode="edge")  # the edge of the image is no boundary
            boundaries.append(inside & ~ndimage.binary_erosion(edge, np.ones((3, 3)))[1:-1, 1:-1])
        if not any(boundary.any() for boundary in boundaries):
            scores.append(np.nan)
            continue
        shares = []
        for of, other in (boundaries, boundaries[::-1]):
            distance = ndimage.distance_transform_edt(~other) if other.any() else np.inf
            near = np.broadcast_to(distance <= tolerance, of.shape)
            shares.append(near[of].mean() if of.any() else 0)
        precision, recall = shares
        total = precision + recall
        scores.append(2 * precision * recall / total if total else 0.0)
    return scores


@pytest.mark.parametrize("size", [(12, 16), (40, 30), (300, 400)])
def test_boundary_f_by_distance_transforms(size: tuple[int, int]):
    for image in random_images(3, 5, error=0.02, size=lambda index: size):
        image.predictions[:, 2:] = image.predictions[:, :-2].copy()  # off by two pixels
        found = boundary_f(image.labels, image.predictions, 6, 255)
        expected = with_distance_transforms(image.labels, image.predictions, 6)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert np.isnan(found[5])


def halves(middle: int) -> np.ndarray:
    """100 x 300 pixels with a class on either side; 0.75 % of the diagonal are 2.37 pixels."""
    return (np.arange(300) >= middle).astype(int)[None].repeat(100, 0)


@pytest.mark.parametrize(("shift", "score"), [(0, 1.0), (2, 1.0), (3, 0.0)])
def test_boundary_f_is_one_within_the_tolerance(shift: int, score: float):
    found = boundary_f(halves(150), halves(150 + shift), 3, 255)
    np.testing.assert_array_equal(found, [score, score, np.nan])


def test_boundary_f_by_hand_and_its_means():
    labels, predictions = halves(150), halves(150)
    predictions[:50] = 1  # half of the boundary is missed, and one of 150 pixels invented
    # class 0: precision (the rest of the column, and the new row near it), recall
    scores = boundary_f(labels, predictions, 2, 255)
    row_near, column = 2 + 1, 50
    precision = (column + row_near - 1) / (column + 150 - 1)
    recall = (column + 2) / 100
    assert scores[0] == pytest.approx(2 * precision * recall / (precision + recall))
    total = BoundaryF(["a", "b"], 255)
    total.add(scored("x", labels, predictions, 2))
    total.add(scored("y", labels, labels, 2))
    total.add(scored("z", np.zeros((4, 4), int), np.zeros((4, 4), int), 2))  # without boundary
    found = total.metrics()["boundary_f"]
    assert found["mean"] == pytest.approx((scores.mean() + 1) / 2)
    assert found["per_class"] == pytest.approx({"a": (scores[0] + 1) / 2, "b": (scores[1] + 1) / 2})


def test_what_is_predicted_on_ignored_pixels_changes_nothing():
    (image,) = random_images(1, 3, size=lambda index: (50, 60))
    noise = np.random.default_rng(1).integers(0, 3, image.labels.shape)
    others = np.where(image.labels == 255, noise, image.predictions)
    assert not np.array_equal(others, image.predictions)
    found = [boundary_f(image.labels, ids, 3, 255) for ids in (image.predictions, others)]
    np.testing.assert_array_equal(*found)


def test_boundary_f_where_nothing_is_labeled():
    nothing = np.full((6, 6), 255)
    assert np.isnan(boundary_f(nothing, np.zeros((6, 6), int), 2, 255)).all()
    total = BoundaryF(["a", "b"], 255)
    total.add(scored("x", nothing, np.zeros((6, 6), int), 2))
    assert total.metrics()["boundary_f"]["mean"] is None
