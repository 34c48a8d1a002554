"""The table of backbones."""

from deeplab.models.backbones import mobilenet_v2, xception
from deeplab.models.backbones.features import Backbone, Features

BACKBONES: dict[str, Backbone] = {
    "mobilenet_v2": mobilenet_v2.MOBILENET_V2,
    "xception_41": xception.XCEPTION_41,
    "xception_65": xception.XCEPTION_65,
    "xception_71": xception.XCEPTION_71,
}

__all__ = ["BACKBONES", "Backbone", "Features"]
