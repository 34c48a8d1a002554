"""MobileNetV2 (Sandler et al., 2018, arXiv 1801.04381, table 2) without its last convolution.

Conventions: padding as TensorFlow's "same", ReLU6, linear bottlenecks. Only depthwise convolutions
have a rate. Source of widths and their rounding: slim's mobilenet_v2.py and the original's
core/feature_extractor.py.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import keras

from deeplab.models import layers
from deeplab.models.atrous import atrous_units
from deeplab.models.backbones.features import Backbone, Features
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor


class Bottleneck(NamedTuple):
    """One row per inverted residual: expansion factor, output width, nominal stride."""

    expansion: int
    width: int
    stride: int


# Table 2 of the paper, (t, c, n, s); the stride belongs to the first of the n.
_STEM_WIDTH = 32
_TABLE = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_BOTTLENECKS = tuple(
    Bottleneck(t, c, s if repeat == 0 else 1) for t, c, n, s in _TABLE for repeat in range(n)
)
# The third bottleneck's expanded feature after its depthwise convolution: the last one at stride 4.
_LOW_LEVEL_BOTTLENECK = 2

_INITIALIZER = layers.truncated_normal(0.09)


def mobilenet_v2(
    x: Tensor, *, output_stride: int, depth_multiplier: float, norm: BatchNormSettings
) -> Features:
    """A MobileNetV2 that ends with its last bottleneck.

    Args:
        x: image scaled to [-1,1], [B,H,W,3].
        output_stride: 8, 16 or 32.
        depth_multiplier: factor on all widths.
        norm: batch norm of all layers.

    Returns:
        low_level [B,H/4,W/4,144 m], high_level [B,H/output_stride,W/output_stride,320 m].
    """
    # At a multiplier other than 1 the original rounds widths to whole numbers only, yet expansion
    # widths still to multiples of 8.
    divisor = 8 if depth_multiplier == 1 else 1
    conv = partial(layers.conv_bn, norm=norm, initializer=_INITIALIZER)

    nominal = [2, *(row.stride for row in _BOTTLENECKS)]
    (stem, *units) = atrous_units(nominal, output_stride=output_stride)
    width = round_width(_STEM_WIDTH * depth_multiplier, divisor)
    x = conv(x, width, 3, stride=stem.stride, activation=layers.relu6, name="backbone.conv")

    features: Features = {}
    for index, (row, unit) in enumerate(zip(_BOTTLENECKS, units, strict=True)):
        name = f"backbone.expanded_conv_{index}" if index else "backbone.expanded_conv"
        inputs, width = x, x.shape[-1]
        if row.expansion > 1:
            expanded = round_width(width * row.expansion, 8)
            x = conv(x, expanded, 1, activation=layers.relu6, name=f"{name}.expand")
        x = layers.depthwise_bn(
            x,
            3,
            stride=unit.stride,
            rate=unit.rate,
            activation=layers.relu6,
            norm=norm,
            initializer=_INITIALIZER,
            name=f"{name}.depthwise",
        )
        if index == _LOW_LEVEL_BOTTLENECK:
            features["low_level"] = x
        new_width = round_width(row.width * depth_multiplier, divisor)
        x = conv(x, new_width, 1, activation=None, name=f"{name}.project")
        if unit.stride == 1 and new_width == width:
            x = keras.layers.Add(name=f"{name}.sum")([inputs, x])
    features["high_level"] = x
    return features


def round_width(width: float, divisor: int) -> int:
    """The multiple of `divisor` next to `width`, at least one, never below 90 % of `width`."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


MOBILENET_V2 = Backbone(
    build=mobilenet_v2,
    norm=BatchNormSettings(epsilon=1e-3, momentum=0.997),
    has_depth_multiplier=True,
)
