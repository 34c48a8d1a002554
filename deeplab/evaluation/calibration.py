"""Whether a model is right as often as it says.

The probability of the predicted class is the model's confidence. Pixels are sorted by it into bins
of equal width; the reliability curve is their accuracy over their mean confidence, and the expected
calibration error (ECE) the mean of the difference, weighted by the pixels in the bins (Guo et al.,
"On Calibration of Modern Neural Networks", 2017, arXiv 1706.04599, section 2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deeplab.evaluation.examples import Scored
from deeplab.evaluation.metrics import number, ratio

BINS = 15


class Calibration:
    """Sorts labeled pixels by their confidence."""

    def __init__(self, ignore_label: int) -> None:
        """Starts at zero."""
        self._ignore_label = ignore_label
        self._sums = np.zeros((3, BINS))  # pixels, right ones, confidence

    def add(self, scored: Scored) -> None:
        """Counts one image that has its confidence."""
        assert scored.confidence is not None
        labeled = scored.labels != self._ignore_label
        confidence = scored.confidence[labeled].astype(np.float64)
        right = (scored.labels == scored.predictions)[labeled]
        # Bins are open below and closed above.
        bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
        for total, weights in zip(self._sums, (None, right, confidence), strict=True):
            total += np.bincount(bins, weights, BINS)

    def metrics(self) -> dict[str, Any]:
        """`calibration`: {"ece": rate, "curve": [{"bin", "confidence", "accuracy", "pixels"}]}."""
        pixels, right, confidence = self._sums
        accuracies, confidences = ratio(right, pixels), ratio(confidence, pixels)
        gaps = np.nan_to_num(np.abs(accuracies - confidences))
        return {
            "calibration": {
                "ece": number(float(ratio((gaps * pixels).sum(), pixels.sum()))),
                "curve": [
                    {
                        "bin": [index / BINS, (index + 1) / BINS],
                        "confidence": number(confidences[index]),
                        "accuracy": number(accuracies[index]),
                        "pixels": int(pixels[index]),
                    }
                    for index in range(BINS)
                ],
            }
        }
