"""PASCAL VOC 2012: 20 classes and the background; stored ids are class ids.

Source: M. Everingham et al., The PASCAL Visual Object Classes Challenge 2012 (VOC2012) Development
Kit, section 3.3. The colours are its colour map.
"""

from __future__ import annotations

from deeplab.data.colors import Color, default_colors
from deeplab.data.tables import names

CLASS_NAMES = names("""
    background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable,
    dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor
""")
COLORS: tuple[Color, ...] = default_colors(len(CLASS_NAMES))

# Images per split. trainaug: Hariharan et al., Semantic contours from inverse detectors, ICCV 2011.
SPLIT_SIZES = {"train": 1464, "trainaug": 10582, "trainval": 2913, "val": 1449}
