"""Weights that were trained on RGB, for a network that sees more channels."""

from __future__ import annotations

import numpy as np

_RGB = 3


def is_inflatable(stored: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a kernel of these shapes [H,W,I,O] only lacks inputs beside R, G and B."""
    if len(stored) != 4 or len(wanted) != 4:
        return False
    same = stored[:2] == wanted[:2] and stored[3] == wanted[3]
    return same and stored[2] == _RGB and wanted[2] > _RGB


def inflated(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Gives further inputs the mean of those of R, G and B, and scales all by 3 / channels.

    A gray image that has its values in every channel then gives what it gave in R, G and B alone.

    Args:
        kernel: [H,W,3,O].
        channels: more than 3.

    Returns:
        [H,W,channels,O].
    """
    mean = kernel.mean(axis=2, keepdims=True)
    further = np.repeat(mean, channels - _RGB, axis=2)
    return np.concatenate([kernel, further], axis=2) * (_RGB / channels)
