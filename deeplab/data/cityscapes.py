"""The classes of Cityscapes.

The 19 classes are those that are evaluated, of the 34 ids that the masks store. Source: M. Cordts
et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016, and its class
definitions (https://www.cityscapes-dataset.com/dataset-overview/).
"""

from __future__ import annotations

from typing import NamedTuple

from deeplab.data.colors import Color


class CityscapesClass(NamedTuple):
    """A class; its position in `CLASSES` is the class id ("trainId").

    Attributes:
        name: the benchmark's name.
        label_id: id in the masks, and in what the benchmark's server takes ("labelId").
        color: RGB 0..255.
    """

    name: str
    label_id: int
    color: Color


CLASSES = (
    CityscapesClass("road", 7, (128, 64, 128)),
    CityscapesClass("sidewalk", 8, (244, 35, 232)),
    CityscapesClass("building", 11, (70, 70, 70)),
    CityscapesClass("wall", 12, (102, 102, 156)),
    CityscapesClass("fence", 13, (190, 153, 153)),
    CityscapesClass("pole", 17, (153, 153, 153)),
    CityscapesClass("traffic light", 19, (250, 170, 30)),
    CityscapesClass("traffic sign", 20, (220, 220, 0)),
    CityscapesClass("vegetation", 21, (107, 142, 35)),
    CityscapesClass("terrain", 22, (152, 251, 152)),
    CityscapesClass("sky", 23, (70, 130, 180)),
    CityscapesClass("person", 24, (220, 20, 60)),
    CityscapesClass("rider", 25, (255, 0, 0)),
    CityscapesClass("car", 26, (0, 0, 142)),
    CityscapesClass("truck", 27, (0, 0, 70)),
    CityscapesClass("bus", 28, (0, 60, 100)),
    CityscapesClass("train", 31, (0, 80, 100)),
    CityscapesClass("motorcycle", 32, (0, 0, 230)),
    CityscapesClass("bicycle", 33, (119, 11, 32)),
)
