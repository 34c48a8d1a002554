"""A network that is open, whatever runs it, and what changes how it sees images.

A predictor takes images of uint8 or float32 [B, H, W, channels], 0..255, of any size that its
network has, and gives numpy arrays. What is done to one gives another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deeplab.runtimes.padding import padded
from deeplab.runtimes.runtime import ClassIds

Probabilities = npt.NDArray[np.float32]  # [B, H, W, C]


class Predictor(NamedTuple):
    """What a network says of images.

    Attributes:
        labels: images -> class ids int32 [B, H, W].
        probabilities: images -> class probabilities float32 [B, H, W, C]; the largest is that of
            the label, but for ties.
        fixed_size: height and width of the largest image that the network takes; None: any.
    """

    labels: Callable[[Any], ClassIds]
    probabilities: Callable[[Any], Probabilities]
    fixed_size: tuple[int, int] | None = None


def with_padding(
    predictor: Predictor, size: tuple[int, int], pad_value: Sequence[float]
) -> Predictor:
    """Shows a network every image in one size; arguments are those of `padded`."""
    return predictor._replace(
        labels=padded(predictor.labels, size, pad_value),
        probabilities=padded(predictor.probabilities, size, pad_value),
    )
