"""Segmentation near object boundaries as the DeepLab papers measure it.

The void pixels that annotators leave between objects are dilated, and the mIoU is taken over the
labeled pixels inside (arXiv 1802.02611, section 4.2 and figure 5). The paper does not name the
structuring element; here it is the square, so that width w is w dilations by 3x3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deeplab.evaluation.boundary import rings, void_distance
from deeplab.evaluation.examples import Scored
from deeplab.evaluation.metrics import miou, number, ring_matrices

TRIMAP_WIDTHS = (1, 2, 3, 5, 10, 20, 40)


class Trimap:
    """Adds up the confusion matrices of images inside the trimap's bands."""

    def __init__(
        self, num_classes: int, ignore_label: int, widths: Sequence[int] = TRIMAP_WIDTHS
    ) -> None:
        """Starts at zero.

        Args:
            num_classes: number of classes.
            ignore_label: the label id of void pixels.
            widths: how many pixels the void is dilated by, ascending.
        """
        self._ignore_label = ignore_label
        self._widths = tuple(widths)
        self._rings = np.zeros((len(widths), num_classes, num_classes), np.int64)
        self._has_void = False

    def add(self, scored: Scored) -> None:
        """Counts one image; one without void pixels has no trimap."""
        distance = void_distance(scored.labels, self._ignore_label)
        inside = (distance > 0) & (distance <= self._widths[-1])
        self._has_void |= bool((distance == 0).any())
        self._rings += ring_matrices(
            rings(distance[inside], self._widths),
            scored.labels[inside],
            scored.predictions[inside],
            *self._rings.shape[:2],
        )

    def metrics(self) -> dict[str, Any]:
        """`trimap_iou`: {width: mIoU, or None if no class is there}; None without void pixels."""
        bands = zip(self._widths, np.cumsum(self._rings, axis=0), strict=True)
        curve = {str(width): number(miou(band)) for width, band in bands}
        return {"trimap_iou": curve if self._has_void else None}
