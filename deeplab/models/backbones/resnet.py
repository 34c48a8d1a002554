"""ResNet-18, -50 and -101 (He et al., 2016, arXiv 1512.03385, table 1), in the original's form.

A block is a list of equal units, of which the last one carries the stride, on its 3x3 convolution.
The "beta" variants have a stem of three 3x3 convolutions in the place of the 7x7, and images
scaled to [-1,1] instead of the mean subtracted.

Conventions: strided convolutions pad by a fixed amount; an identity shortcut with a stride is a
subsampling. Source: core/resnet_v1_beta.py of the original.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras

from deeplab.models import layers
from deeplab.models.atrous import atrous_units
from deeplab.models.backbones.features import TAPS, Backbone, Features
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor


class Block(NamedTuple):
    """A row of the network.

    Attributes:
        depth: output width of every unit.
        units: how many units.
        stride: of the last unit.
        tap: (unit counted from 1, stride): whose residual branch the decoder at this stride reads.
    """

    depth: int
    units: int
    stride: int
    tap: tuple[int, int] | None = None


_BLOCKS_18 = (
    Block(64, 2, 2, tap=(1, 4)),
    Block(128, 2, 2, tap=(1, 8)),
    Block(256, 2, 2, tap=(1, 16)),
    Block(512, 2, 1),
)
_BLOCKS_50 = (
    Block(256, 3, 2, tap=(2, 4)),
    Block(512, 4, 2, tap=(3, 8)),
    Block(1024, 6, 2, tap=(5, 16)),
    Block(2048, 3, 1),
)
_BLOCKS_101 = (
    Block(256, 3, 2, tap=(2, 4)),
    Block(512, 4, 2, tap=(3, 8)),
    Block(1024, 23, 2, tap=(22, 16)),
    Block(2048, 3, 1),
)
_MEAN_COLOR = (123.15, 115.90, 103.06)  # RGB, of ImageNet

# Standard deviation sqrt(2.6 / fan-in), before values beyond two of them are drawn again; Keras
# divides by the factor 0.8796 that the truncation costs.
_TRUNCATION = 0.87962566103423978


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(
        2.6 * _TRUNCATION**2, mode="fan_in", distribution="truncated_normal"
    )


_conv = partial(layers.conv_bn, padding="fixed", initializer=_initializer)


def resnet(
    x: Tensor,
    *,
    blocks: tuple[Block, ...],
    residual: Callable[..., Tensor],
    stem: Callable[..., Tensor],
    output_stride: int,
    norm: BatchNormSettings,
    multi_grid: tuple[int, ...] | None,
) -> Features:
    """A ResNet without its classifier.

    Args:
        x: normalized image, [B,H,W,3].
        blocks: the rows of the network.
        residual: the residual branch of a unit, `bottleneck` or `basic`.
        stem: the convolutions before the first pooling, of stride 2.
        output_stride: 8, 16 or 32.
        norm: batch norm of all layers.
        multi_grid: factors on the rates of the units of the last block (DeepLabv3 section 3.2.1);
            None: ones.

    Returns:
        low_level, low_level_8 and low_level_16 (residual branches at strides 4, 8 and 16, before
        the sum), high_level [B,H/output_stride,W/output_stride,depth of the last block].
    """
    x = stem(x, norm=norm)
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="backbone.pool")(x)

    nominal = [
        block.stride if unit == block.units else 1
        for block in blocks
        for unit in range(1, block.units + 1)
    ]
    schedule = iter(atrous_units(nominal, output_stride=output_stride, stem_stride=4))
    features: Features = {}
    for number, block in enumerate(blocks, start=1):
        grid = multi_grid if multi_grid and block is blocks[-1] else (1,) * block.units
        for unit, factor in enumerate(grid, start=1):
            stride, rate = next(schedule)
            name = f"backbone.block{number}.unit_{unit}"
            y = residual(x, block.depth, stride=stride, rate=rate * factor, norm=norm, name=name)
            if block.tap and unit == block.tap[0]:
                features[TAPS[block.tap[1]]] = y
            shortcut = _shortcut(x, block.depth, stride=stride, norm=norm, name=name)
            x = keras.layers.Add(name=f"{name}.sum")([shortcut, y])
            x = layers.relu(x, f"{name}.sum")
    features["high_level"] = x
    return features


def bottleneck(
    x: Tensor, depth: int, *, stride: int, rate: int, norm: BatchNormSettings, name: str
) -> Tensor:
    """1x1, 3x3 with stride and rate, 1x1 (figure 5 of the paper, right)."""
    conv = partial(_conv, norm=norm)
    x = conv(x, depth // 4, 1, activation=layers.relu, name=f"{name}.conv1")
    x = conv(
        x, depth // 4, 3, stride=stride, rate=rate, activation=layers.relu, name=f"{name}.conv2"
    )
    return conv(x, depth, 1, activation=None, name=f"{name}.conv3")


def basic(
    x: Tensor, depth: int, *, stride: int, rate: int, norm: BatchNormSettings, name: str
) -> Tensor:
    """Two 3x3, both with the rate, the second with the stride (figure 5 of the paper, left)."""
    conv = partial(_conv, norm=norm, rate=rate)
    x = conv(x, depth, 3, activation=layers.relu, name=f"{name}.conv1")
    return conv(x, depth, 3, stride=stride, activation=None, name=f"{name}.conv2")


def _shortcut(x: Tensor, depth: int, *, stride: int, norm: BatchNormSettings, name: str) -> Tensor:
    name = f"{name}.shortcut"
    if x.shape[-1] != depth:
        return _conv(x, depth, 1, stride=stride, activation=None, norm=norm, name=name)
    return keras.layers.MaxPooling2D(1, stride, name=name)(x) if stride > 1 else x


def stem_7x7(x: Tensor, *, norm: BatchNormSettings) -> Tensor:
    """One 7x7 convolution, [B,H/2,W/2,64]."""
    return _conv(x, 64, 7, stride=2, activation=layers.relu, norm=norm, name="backbone.conv1")


def stem_3x3(x: Tensor, *, norm: BatchNormSettings, width: int) -> Tensor:
    """Three 3x3 convolutions, [B,H/2,W/2,2 width]."""
    conv = partial(_conv, activation=layers.relu, norm=norm)
    x = conv(x, width, 3, stride=2, name="backbone.conv1_1")
    x = conv(x, width, 3, name="backbone.conv1_2")
    return conv(x, 2 * width, 3, name="backbone.conv1_3")


_NORM = BatchNormSettings(epsilon=1e-5, momentum=0.95)


def _beta(
    blocks: tuple[Block, ...], residual: Callable[..., Tensor], *, stem_width: int
) -> Backbone:
    return Backbone(
        build=partial(
            resnet, blocks=blocks, residual=residual, stem=partial(stem_3x3, width=stem_width)
        ),
        norm=_NORM,
        settings=("multi_grid",),
        multi_grid_units=blocks[-1].units,
    )


def _classic(blocks: tuple[Block, ...], residual: Callable[..., Tensor]) -> Backbone:
    red, green, blue = _MEAN_COLOR
    return Backbone(
        build=partial(resnet, blocks=blocks, residual=residual, stem=stem_7x7),
        norm=_NORM,
        scale=1.0,
        offset=(-red, -green, -blue),
        pad_value=_MEAN_COLOR,
        settings=("multi_grid",),
        multi_grid_units=blocks[-1].units,
    )


# The original pads by gray here, although this network too subtracts the mean.
RESNET_18 = _classic(_BLOCKS_18, basic)._replace(pad_value=(127.5, 127.5, 127.5))
RESNET_18_BETA = _beta(_BLOCKS_18, basic, stem_width=16)
RESNET_50 = _classic(_BLOCKS_50, bottleneck)
RESNET_50_BETA = _beta(_BLOCKS_50, bottleneck, stem_width=64)
RESNET_101 = _classic(_BLOCKS_101, bottleneck)
RESNET_101_BETA = _beta(_BLOCKS_101, bottleneck, stem_width=64)
