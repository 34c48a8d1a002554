"""Bands of pixels along the boundaries of a label image.

The DeepLab papers measure segmentation near object boundaries on a "trimap": the void pixels that
annotators leave between objects are dilated by some pixels, and the mIoU is taken inside (arXiv
1802.02611, section 4.2 and figure 5; here `void_distance`). Many data sets have no void pixels
there, so a boundary is also taken as any change of the label, an ignored label being a label like
any other: the band of width w holds the pixels that have a pixel of another label at most w rows
and at most w columns away (Chebyshev distance; `boundary_distance`). The edge of the image is no
boundary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Integers = npt.NDArray[np.integer]
Booleans = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.int32]

# Farther than any pixel of an image.
FAR = np.iinfo(np.int32).max


def boundary_distance(labels: Integers) -> Distances:
    """Chebyshev distance of each pixel to the nearest pixel of another label.

    Args:
        labels: [H, W], with ignored pixels as they are.

    Returns:
        int32 [H, W], 1 or more; `FAR` if there is one label only.
    """
    # A pixel is as far from another label as from a pixel that touches one, and one pixel more.
    distance = _distance_to(touches_other_label(labels))
    return np.where(distance == FAR, FAR, distance + 1)


def void_distance(labels: Integers, ignore_label: int) -> Distances:
    """Chebyshev distance of each pixel to the nearest ignored one.

    Args:
        labels: [H, W].
        ignore_label: the id of ignored pixels.

    Returns:
        int32 [H, W], 0 for ignored pixels; `FAR` if there is none.
    """
    return _distance_to(labels == ignore_label)


def touches_other_label(labels: Integers) -> Booleans:
    """Whether any of the eight neighbors has another label, bool [H, W]."""
    touches = np.zeros(labels.shape, np.bool_)
    for first, second in _NEIGHBOR_SLICES:
        differs = labels[first] != labels[second]
        touches[first] |= differs
        touches[second] |= differs
    return touches


def rings(distance: Distances, widths: Sequence[int]) -> npt.NDArray[np.intp]:
    """Which of the rings between successive band widths each pixel lies in.

    Args:
        distance: any shape, 0 or more.
        widths: of the bands, in pixels, ascending.

    Returns:
        0..len(widths) of the same shape; the last one is beyond all bands.
    """
    ring = np.searchsorted(widths, np.arange(widths[-1] + 2))
    return ring[np.minimum(distance, widths[-1] + 1)]


def _distance_to(mask: Booleans) -> Distances:
    if not mask.any():
        return np.full(mask.shape, FAR, np.int32)
    distance: Distances = ndimage.distance_transform_cdt(~mask, "chessboard")
    return distance


_ALL, _FROM_SECOND, _BUT_LAST = slice(None), slice(1, None), slice(None, -1)
# Each pair views an image and the same image shifted to one of four neighbors; the other four
# neighbors are the same pairs read backwards.
_NEIGHBOR_SLICES = (
    ((_ALL, _FROM_SECOND), (_ALL, _BUT_LAST)),
    ((_FROM_SECOND, _ALL), (_BUT_LAST, _ALL)),
    ((_FROM_SECOND, _FROM_SECOND), (_BUT_LAST, _BUT_LAST)),
    ((_FROM_SECOND, _BUT_LAST), (_BUT_LAST, _FROM_SECOND)),
)
