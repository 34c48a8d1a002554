"""MobileNetV2 (Sandler et al., 2018, arXiv 1801.04381, table 2) without its last convolution.

Conventions: padding as TensorFlow's "same", ReLU6, linear bottlenecks. Only depthwise convolutions
have a rate. Source of widths and their rounding: slim's mobilenet_v2.py and the original's
core/feature_extractor.py.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from deeplab import checks
from deeplab.models import layers
from deeplab.models.atrous import atrous_units
from deeplab.models.backbones.features import TAPS, Backbone, Features
from deeplab.models.backbones.inverted_residual import (
    INITIALIZER,
    block_name,
    inverted_residual,
    round_width,
)
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
# Index of a bottleneck, the last but one at its stride -> stride of the decoder that reads the
# output of its depthwise convolution.
_TAPS = {2: 4, 5: 8, 12: 16}


def mobilenet_v2(
    x: Tensor,
    *,
    output_stride: int,
    depth_multiplier: float,
    norm: BatchNormSettings,
    divisible_by: int | None = None,
) -> Features:
    """A MobileNetV2 that ends with its last bottleneck.

    Args:
        x: image scaled to [-1,1], [B,H,W,3].
        output_stride: 8, 16 or 32.
        depth_multiplier: factor on all widths.
        norm: batch norm of all layers.
        divisible_by: widths are multiples of it. None: 8 at multiplier 1, and 1 at any other;
            expansion widths are multiples of 8 all the same.

    Returns:
        low_level [B,H/4,W/4,144 m], low_level_8 [B,H/8,W/8,192 m], low_level_16
        [B,H/16,W/16,576 m], high_level [B,H/output_stride,W/output_stride,320 m].
    """
    divisor = divisible_by or (8 if depth_multiplier == 1 else 1)
    minimum = 8 if depth_multiplier == 1 else 1

    def scaled(width: int) -> int:
        return round_width(width * depth_multiplier, divisor, minimum)

    nominal = [2, *(row.stride for row in _BOTTLENECKS)]
    (stem, *units) = atrous_units(nominal, output_stride=output_stride)
    x = layers.conv_bn(
        x,
        scaled(_STEM_WIDTH),
        3,
        stride=stem.stride,
        activation=layers.relu6,
        norm=norm,
        initializer=INITIALIZER,
        name="backbone.conv",
    )
    features: Features = {}
    block = partial(inverted_residual, activation=layers.relu6, norm=norm)
    for index, (row, unit) in enumerate(zip(_BOTTLENECKS, units, strict=True)):
        width = x.shape[-1]
        x, depthwise = block(
            x,
            expanded=round_width(width * row.expansion, 8) if row.expansion > 1 else width,
            width=scaled(row.width),
            unit=unit,
            name=block_name(index),
        )
        if index in _TAPS:
            features[TAPS[_TAPS[index]]] = depthwise
    features["high_level"] = x
    return features


MOBILENET_V2 = Backbone(
    build=mobilenet_v2,
    norm=BatchNormSettings(epsilon=1e-3, momentum=0.997),
    settings=("depth_multiplier",),
    options={"divisible_by": partial(checks.integer, minimum=1)},
)
