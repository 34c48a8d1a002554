"""Bilinear resizing in numpy, with the positions of TensorFlow's operation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def resize_bilinear(images: np.ndarray, height: int, width: int, *, method: str) -> Floats:
    """Resizes images [B, h, w, C] to float32 [B, height, width, C], never antialiased.

    Args:
        images: of any type.
        height: of the result, pixels.
        width: of the result, pixels.
        method: "align_corners" (corner pixels stay corners) or "half_pixel" (the outer edges of the
            pixels stay where they are).
    """
    return _resize_axis(_resize_axis(images, 2, width, method), 1, height, method)


def _resize_axis(images: np.ndarray, axis: int, target: int, method: str) -> Floats:
    size = images.shape[axis]
    if size == target:
        return images.astype(np.float32, copy=False)
    position = _source_positions(size, target, method)
    before = position.astype(np.int32)
    after = np.minimum(before + 1, size - 1)
    share = (position - before).reshape([-1 if index == axis else 1 for index in range(4)])
    left = np.take(images, before, axis).astype(np.float32)
    right = np.take(images, after, axis).astype(np.float32)
    return left + (right - left) * share


def _source_positions(size: int, target: int, method: str) -> Floats:
    """Where the pixels of a resized side lie on the side before, float32 as TensorFlow has them."""
    targets = np.arange(target, dtype=np.float32)
    if method == "align_corners":
        return targets * (np.float32(size - 1) / np.float32(max(target - 1, 1)))
    step = np.float32(size) / np.float32(target)
    return np.clip((targets + np.float32(0.5)) * step - np.float32(0.5), 0, size - 1)
