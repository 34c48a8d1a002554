"""Bands of pixels along the boundaries of a label image.

The DeepLab papers measure segmentation near object boundaries on a "trimap": the void pixels that
annotators leave between objects are dilated by some pixels, and the mIoU is taken inside (arXiv
1802.02611, section 4.2 and figure 5). Many data sets have no void pixels there, so here a boundary
is any change of the label, an ignored label being a label like any other: the band of width w
holds the pixels that have a pixel of another label at most w rows and at most w columns away
(Chebyshev distance). Where objects are separated by void pixels this is the dilation of the paper.
The edge of the image is no boundary.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def boundary_distance(labels: npt.NDArray[np.integer], limit: int) -> npt.NDArray[np.uint8]:
    """Chebyshev distance of each pixel to the nearest pixel of another label.

    Args:
        labels: [H, W], with ignored pixels as they are.
        limit: the largest distance of interest, in pixels, 1..254.

    Returns:
        uint8 [H, W], 1..limit; limit + 1 stands for everything farther away.
    """
    if not 1 <= limit <= 254:
        raise ValueError(f"limit must be 1..254 pixels, got {limit}")
    distance = np.full(labels.shape, limit + 1, np.uint8)
    # A pixel is within w of another label exactly if it is within w - 1 of a pixel that touches
    # another label, so each further pixel of width is one dilation by a 3x3 square.
    band = _touches_other_label(labels)
    for width in range(1, limit + 1):
        np.minimum(distance, np.where(band, np.uint8(width), distance), out=distance)
        if width < limit:
            band = _dilate(band)
    return distance


def _touches_other_label(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Whether any of the eight neighbors has another label, bool [H, W]."""
    touches = np.zeros(labels.shape, np.bool_)
    for first, second in _NEIGHBOR_SLICES:
        differs = labels[first] != labels[second]
        touches[first] |= differs
        touches[second] |= differs
    return touches


def _dilate(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Dilation by a 3x3 square, as two passes of three pixels."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    both = wide.copy()
    both[1:] |= wide[:-1]
    both[:-1] |= wide[1:]
    return both


_ALL, _FROM_SECOND, _BUT_LAST = slice(None), slice(1, None), slice(None, -1)
# Each pair views an image and the same image shifted to one of four neighbors; the other four
# neighbors are the same pairs read backwards.
_NEIGHBOR_SLICES = (
    ((_ALL, _FROM_SECOND), (_ALL, _BUT_LAST)),
    ((_FROM_SECOND, _ALL), (_BUT_LAST, _ALL)),
    ((_FROM_SECOND, _FROM_SECOND), (_BUT_LAST, _BUT_LAST)),
    ((_FROM_SECOND, _BUT_LAST), (_BUT_LAST, _FROM_SECOND)),
)
