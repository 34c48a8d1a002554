"""Resizing that aligns the corners."""

from __future__ import annotations

import numpy as np
import pytest

from deeplab.models.resize import ResizeLike


def test_resize_aligns_corners() -> None:
    x = np.array([[0.0, 3.0], [6.0, 9.0]], np.float32).reshape(1, 2, 2, 1)
    like = np.zeros((1, 3, 4, 1), np.float32)
    expected = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    np.testing.assert_allclose(ResizeLike()(x, like)[0, :, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("factor", "size", "expected"), [(0.5, 33, 17), (0.5, 32, 16), (2.0, 17, 33), (2.0, 1, 1)]
)
def test_resize_by_a_factor(factor: float, size: int, expected: int) -> None:
    images = np.linspace(0, 1, size, dtype=np.float32).reshape(1, size, 1, 1)
    resized = np.asarray(ResizeLike(factor)(images, images))
    assert resized.shape == (1, expected, 1, 1)
    straight_line = np.linspace(0, images[0, -1, 0, 0], expected)
    np.testing.assert_allclose(resized.ravel(), straight_line, atol=1e-6)
