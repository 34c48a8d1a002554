"""The table of backbones."""

from deeplab.models.backbones import (
    mobilenet_edgetpu,
    mobilenet_v2,
    mobilenet_v3,
    nas,
    preactivated_xception,
    resnet,
    resnet_keras,
    xception,
)
from deeplab.models.backbones.features import TAPS, Backbone, Features

BACKBONES: dict[str, Backbone] = {
    "hnasnet": nas.HNASNET,
    "mobilenet_edgetpu": mobilenet_edgetpu.MOBILENET_EDGETPU,
    "mobilenet_v2": mobilenet_v2.MOBILENET_V2,
    "mobilenet_v3_large": mobilenet_v3.MOBILENET_V3_LARGE,
    "mobilenet_v3_small": mobilenet_v3.MOBILENET_V3_SMALL,
    "pnasnet": nas.PNASNET,
    "resnet_18": resnet.RESNET_18,
    "resnet_18_beta": resnet.RESNET_18_BETA,
    "resnet_50": resnet.RESNET_50,
    "resnet_50_beta": resnet.RESNET_50_BETA,
    "resnet_50_keras": resnet_keras.RESNET_50_KERAS,
    "resnet_101": resnet.RESNET_101,
    "resnet_101_beta": resnet.RESNET_101_BETA,
    "resnet_101_keras": resnet_keras.RESNET_101_KERAS,
    "xception_41": xception.XCEPTION_41,
    "xception_41p": preactivated_xception.XCEPTION_41P,
    "xception_65": xception.XCEPTION_65,
    "xception_65p": preactivated_xception.XCEPTION_65P,
    "xception_71": xception.XCEPTION_71,
}

__all__ = ["BACKBONES", "TAPS", "Backbone", "Features"]
