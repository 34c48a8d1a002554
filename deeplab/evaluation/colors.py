"""Masks and mistakes for people, as colours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deeplab.data.colors import Image, color_image, color_table, overlay
from deeplab.data.sources.classes import IGNORE_COLOR, Color

__all__ = ["IGNORE_COLOR", "Color", "color_image", "color_table", "error_image", "overlay"]


def error_image(
    image: Image,
    labels: npt.NDArray[np.integer],
    predictions: npt.NDArray[np.integer],
    ignore_label: int,
) -> Image:
    """Where a prediction is wrong: red on the paled image, ignored pixels grey, uint8 [H, W, 3]."""
    grey = image.astype(np.float32).mean(axis=-1, keepdims=True)
    canvas = np.repeat(160 + grey * (80 / 255), 3, axis=-1).astype(np.uint8)
    canvas[labels == ignore_label] = 120
    canvas[(labels != predictions) & (labels != ignore_label)] = (214, 39, 40)
    return canvas
