"""Cityscapes: the 19 classes that are evaluated, of the 34 ids that the masks store.

Source: M. Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016,
and its class definitions (https://www.cityscapes-dataset.com/dataset-overview/).
"""

from __future__ import annotations

from deeplab.data.colors import Color
from deeplab.data.tables import label_map

# Class, id in the masks ("labelId"), colour; the position is the class id ("trainId").
_ROWS: tuple[tuple[str, int, Color], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)

CLASS_NAMES = tuple(name for name, _, _ in _ROWS)
COLORS: tuple[Color, ...] = tuple(color for _, _, color in _ROWS)
LABEL_MAP = label_map({stored: class_id for class_id, (_, stored, _) in enumerate(_ROWS)})

SPLIT_SIZES = {"train": 2975, "validation": 500, "test": 1525}
COARSE_SPLIT_SIZES = {"train_extra": 19998}
