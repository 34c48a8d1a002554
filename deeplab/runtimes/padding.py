"""Showing a network every image in one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplab.errors import DeepLabError


class TooLarge(DeepLabError):
    """An image that is larger than the one size of a network."""


def pad(images: np.ndarray, size: tuple[int, int], pad_value: npt.ArrayLike) -> np.ndarray:
    """Pads images [B, H, W, C] at the bottom and the right.

    Args:
        images: of any type; `pad_value` is rounded for integers.
        size: height and width of the result, at least those of the images; pixels.
        pad_value: one number per channel.
    """
    batch, height, width, channels = images.shape
    whole = np.issubdtype(images.dtype, np.integer)
    color = np.rint(pad_value) if whole else np.asarray(pad_value)
    result = np.empty((batch, *size, channels), images.dtype)
    result[:] = color.astype(images.dtype)
    result[:, :height, :width] = images
    return result


def padded(
    function: Callable[[Any], Any],
    size: tuple[int, int],
    pad_value: Sequence[float],
    *,
    limit: str = "pad_to",
) -> Callable[[Any], np.ndarray]:
    """Makes a function see every image in one size, as the original's evaluation does.

    Args:
        function: images [B, H, W, C] -> [B, H, W] or [B, H, W, any].
        size: height and width that images are padded to, pixels.
        pad_value: what is padded with, 0..255, one value per channel (the backbone's).
        limit: what the size is called in the message.

    Returns:
        A function of the same kind: its result is cropped back to the image. It raises
        `TooLarge` if an image is larger than `size`.
    """

    def run(images: Any) -> np.ndarray:
        pixels = np.asarray(images)
        height, width = pixels.shape[1:3]
        if height > size[0] or width > size[1]:
            raise TooLarge(
                f"an image of {height}x{width} pixels (height x width) is larger than {limit} "
                f"{size[0]}x{size[1]}"
            )
        return np.asarray(function(pad(pixels, size, pad_value)))[:, :height, :width]

    return run
