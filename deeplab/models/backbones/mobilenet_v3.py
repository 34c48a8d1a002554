"""MobileNetV3 for segmentation (Howard et al., 2019, arXiv 1905.02244, tables 1, 2, section 6.4).

The last block has half the channels of the classification network, and the network ends with the
1x1 convolution behind it. Conventions: padding as TensorFlow's "same", linear bottlenecks; only
depthwise convolutions have a rate.

A row whose stride the output stride takes away may get a residual that it had not, where its
widths are equal: the eighth row of the small network at output stride 16.

Source of widths: slim's mobilenet_v3.py and the original's core/feature_extractor.py.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import keras

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
from deeplab.models.layers import Activation, Tensor

_RELU, _SWISH = layers.relu, layers.hard_swish


class Row(NamedTuple):
    """A block as the paper lists it, with an activation: kernel, widths, SE, NL, stride.

    Attributes:
        kernel_size: of the depthwise convolution.
        expanded: inner width.
        width: output width.
        attention: whether it has squeeze-and-excite.
        activation: of the expansion and the depthwise convolution.
        stride: nominal stride.
        tap: stride of the decoder that reads the output of the depthwise convolution, or None.
    """

    kernel_size: int
    expanded: int
    width: int
    attention: bool
    activation: Activation
    stride: int
    tap: int | None = None


_STEM_WIDTH = 16
_LARGE = (
    Row(3, 16, 16, False, _RELU, 1),
    Row(3, 64, 24, False, _RELU, 2),
    Row(3, 72, 24, False, _RELU, 1, tap=4),
    Row(5, 72, 40, True, _RELU, 2),
    Row(5, 120, 40, True, _RELU, 1),
    Row(5, 120, 40, True, _RELU, 1, tap=8),
    Row(3, 240, 80, False, _SWISH, 2),
    Row(3, 200, 80, False, _SWISH, 1),
    Row(3, 184, 80, False, _SWISH, 1),
    Row(3, 184, 80, False, _SWISH, 1),
    Row(3, 480, 112, True, _SWISH, 1),
    Row(3, 672, 112, True, _SWISH, 1, tap=16),
    Row(5, 336, 80, True, _SWISH, 2),
    Row(5, 480, 80, True, _SWISH, 1),
    Row(5, 480, 80, True, _SWISH, 1),
)
_SMALL = (
    Row(3, 16, 16, True, _RELU, 2, tap=4),
    Row(3, 72, 24, False, _RELU, 2),
    Row(3, 88, 24, False, _RELU, 1, tap=8),
    Row(5, 96, 40, True, _SWISH, 2),
    Row(5, 240, 40, True, _SWISH, 1),
    Row(5, 240, 40, True, _SWISH, 1),
    Row(5, 120, 48, True, _SWISH, 1),
    Row(5, 144, 48, True, _SWISH, 1, tap=16),
    Row(5, 144, 48, True, _SWISH, 2),
    Row(5, 288, 48, True, _SWISH, 1),
    Row(5, 288, 48, True, _SWISH, 1),
)
_LARGE_LAST_WIDTH = 480
_SMALL_LAST_WIDTH = 288

# Fields of `ModelConfig` that make the light head of the released networks (section 6.4, "Lite
# R-ASPP"): a 1x1 convolution of the feature times a gate from large averages, and logits at stride
# 8 as the sum of two 1x1 convolutions. To be used with output stride 32; the 769 pixels are the
# training crop of the release.
LITE_HEAD = MappingProxyType(
    {
        "atrous_rates": (),
        "image_pooling_crop_size": (769, 769),
        "image_pooling_stride": (4, 5),
        "image_pooling_gate": "hard_sigmoid",
        "aspp_channels": 128,
        "aspp_projection": False,
        "decoder": True,
        "decoder_strides": (8,),
        "decoder_merge": "sum",
        "decoder_outputs_logits": True,
    }
)


def mobilenet_v3(
    x: Tensor,
    *,
    rows: tuple[Row, ...],
    last_width: int,
    output_stride: int,
    depth_multiplier: float,
    norm: BatchNormSettings,
) -> Features:
    """A MobileNetV3 that ends with its 1x1 convolution behind the last row.

    Args:
        x: image scaled to [-1,1], [B,H,W,3].
        rows: the rows of the network.
        last_width: width of the last convolution.
        output_stride: 8, 16 or 32.
        depth_multiplier: factor on all widths; every width is a multiple of 8.
        norm: batch norm of all layers.

    Returns:
        low_level, low_level_8 and low_level_16 at strides 4, 8 and 16, high_level
        [B,H/output_stride,W/output_stride,last_width m].
    """

    def scaled(width: int) -> int:
        return round_width(width * depth_multiplier, 8)

    conv = partial(layers.conv_bn, activation=layers.hard_swish, norm=norm, initializer=INITIALIZER)
    nominal = [2, *(row.stride for row in rows)]
    (stem, *units) = atrous_units(nominal, output_stride=output_stride)
    x = conv(x, scaled(_STEM_WIDTH), 3, stride=stem.stride, name="backbone.conv")
    features: Features = {}
    nominal_width = _STEM_WIDTH
    for index, (row, unit) in enumerate(zip(rows, units, strict=True)):
        x, depthwise = inverted_residual(
            x,
            expanded=round_width(x.shape[-1] * row.expanded / nominal_width, 8),
            width=scaled(row.width),
            kernel_size=row.kernel_size,
            unit=unit,
            activation=row.activation,
            attention=_squeeze_excite if row.attention else None,
            norm=norm,
            name=block_name(index),
        )
        nominal_width = row.width
        if row.tap:
            features[TAPS[row.tap]] = depthwise
    features["high_level"] = conv(x, scaled(last_width), 1, name="backbone.conv_1")
    return features


def _squeeze_excite(x: Tensor, name: str) -> Tensor:
    """Weights channels by what the mean over the whole image says (section 5.3)."""
    width = x.shape[-1]
    conv = partial(layers.conv2d, kernel_size=1, use_bias=True, initializer=INITIALIZER)
    path = f"{name}.squeeze_excite"
    # In float32: a sum over a large map does not fit into float16.
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, dtype="float32", name=f"{path}.mean")
    y = mean(x)
    y = conv(y, round_width(width / 4, 8), name=f"{path}.conv")
    y = conv(layers.relu(y, f"{path}.conv"), width, name=f"{path}.conv_1")
    gate = layers.hard_sigmoid(y, f"{path}.conv_1")
    return keras.layers.Multiply(name=f"{path}.product")([x, gate])


def _backbone(rows: tuple[Row, ...], last_width: int) -> Backbone:
    return Backbone(
        build=partial(mobilenet_v3, rows=rows, last_width=last_width),
        norm=BatchNormSettings(epsilon=1e-3, momentum=0.997),
        settings=("depth_multiplier",),
    )


MOBILENET_V3_LARGE = _backbone(_LARGE, _LARGE_LAST_WIDTH)
MOBILENET_V3_SMALL = _backbone(_SMALL, _SMALL_LAST_WIDTH)
