"""CamVid: the eleven classes of SegNet's masks, and what they call void.

Source: V. Badrinarayanan, A. Kendall, R. Cipolla, SegNet, arXiv 1511.00561, and its masks.
"""

from __future__ import annotations

from deeplab.data.colors import Color

CLASS_NAMES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "signsymbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
COLORS: tuple[Color, ...] = (
    (128, 128, 128),
    (128, 0, 0),
    (192, 192, 128),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 128, 128),
    (64, 64, 128),
    (64, 0, 128),
    (64, 64, 0),
    (0, 128, 192),
)
VOID = 11

SPLIT_SIZES = {"train": 367, "val": 101, "test": 233}
