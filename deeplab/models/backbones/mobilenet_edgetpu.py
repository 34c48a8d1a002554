"""MobileNet-EdgeTPU, a network without squeeze-and-excite or hard-swish, made for an accelerator.

Early blocks are "fused": one dense 3x3 convolution expands, strides and mixes, in the place of a
1x1 and a depthwise convolution. Conventions: padding as TensorFlow's "same", ReLU, linear
bottlenecks. Source of the rows: slim's mobilenet_v3.py.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from deeplab.models import layers
from deeplab.models.atrous import Unit, atrous_units
from deeplab.models.backbones.features import Backbone, Features
from deeplab.models.backbones.inverted_residual import (
    INITIALIZER,
    block_name,
    inverted_residual,
    project,
    round_width,
)
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor


class Row(NamedTuple):
    """One block: expansion factor, output width, nominal stride, kernel size.

    `fused` blocks have the dense convolution; `residual` tells whether the input is added where
    shapes allow.
    """

    expansion: int
    width: int
    stride: int
    kernel_size: int = 3
    fused: bool = False
    residual: bool = True


_STEM_WIDTH = 32
_ROWS = (
    Row(1, 16, 1, fused=True),
    Row(8, 32, 2, fused=True),
    *(Row(4, 32, 1, fused=True),) * 3,
    Row(8, 48, 2, fused=True),
    *(Row(4, 48, 1, fused=True),) * 3,
    Row(8, 96, 2),
    *(Row(4, 96, 1),) * 3,
    Row(8, 96, 1, residual=False),
    *(Row(4, 96, 1),) * 3,
    Row(8, 160, 2, kernel_size=5),
    *(Row(4, 160, 1, kernel_size=5),) * 3,
    Row(8, 192, 1),
)
_LAST_WIDTH = 1280


def mobilenet_edgetpu(
    x: Tensor, *, output_stride: int, depth_multiplier: float, norm: BatchNormSettings
) -> Features:
    """A MobileNet-EdgeTPU that ends with its 1x1 convolution behind the last row.

    Args:
        x: image scaled to [-1,1], [B,H,W,3].
        output_stride: 8, 16 or 32.
        depth_multiplier: factor on all widths; every width is a multiple of 8.
        norm: batch norm of all layers.

    Returns:
        high_level [B,H/output_stride,W/output_stride,1280 m]; nothing for a decoder.
    """

    def scaled(width: int) -> int:
        return round_width(width * depth_multiplier, 8)

    conv = partial(layers.conv_bn, activation=layers.relu, norm=norm, initializer=INITIALIZER)
    nominal = [2, *(row.stride for row in _ROWS)]
    (stem, *units) = atrous_units(nominal, output_stride=output_stride)
    x = conv(x, scaled(_STEM_WIDTH), 3, stride=stem.stride, name="backbone.conv")
    for index, (row, unit) in enumerate(zip(_ROWS, units, strict=True)):
        block = _fused if row.fused else _depthwise
        x = block(x, row, unit, width=scaled(row.width), norm=norm, name=block_name(index))
    return {"high_level": conv(x, scaled(_LAST_WIDTH), 1, name="backbone.conv_1")}


def _fused(
    x: Tensor, row: Row, unit: Unit, *, width: int, norm: BatchNormSettings, name: str
) -> Tensor:
    y = x
    if row.expansion > 1:
        y = layers.conv_bn(
            x,
            round_width(x.shape[-1] * row.expansion, 8),
            row.kernel_size,
            stride=unit.stride,
            rate=unit.rate,
            activation=layers.relu,
            norm=norm,
            initializer=INITIALIZER,
            name=f"{name}.expand",
        )
    return project(x, y, width=width, stride=unit.stride, norm=norm, name=name)


def _depthwise(
    x: Tensor, row: Row, unit: Unit, *, width: int, norm: BatchNormSettings, name: str
) -> Tensor:
    y, _ = inverted_residual(
        x,
        expanded=round_width(x.shape[-1] * row.expansion, 8),
        width=width,
        kernel_size=row.kernel_size,
        unit=unit,
        activation=layers.relu,
        residual=row.residual,
        norm=norm,
        name=name,
    )
    return y


MOBILENET_EDGETPU = Backbone(
    build=mobilenet_edgetpu,
    norm=BatchNormSettings(epsilon=1e-3, momentum=0.997),
    decoder_strides=(),
    settings=("depth_multiplier",),
)
