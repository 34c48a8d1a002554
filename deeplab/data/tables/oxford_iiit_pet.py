"""Oxford-IIIT Pet: pet and background; the border that the masks store is ignored.

Source: O. M. Parkhi et al., Cats and Dogs, CVPR 2012; README of its annotations ("trimaps").
"""

from __future__ import annotations

from deeplab.data.colors import Color, default_colors
from deeplab.data.tables import label_map

_PET, _BACKGROUND = 1, 2  # and 3, the border

CLASS_NAMES = ("background", "pet")
COLORS: tuple[Color, ...] = default_colors(len(CLASS_NAMES))
LABEL_MAP = label_map({_BACKGROUND: 0, _PET: 1})

SPLIT_SIZES = {"train": 3680, "test": 3669}
