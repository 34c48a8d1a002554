"""ResNet-50 and -101 as in keras.applications, for weights that were trained there.

They differ from the original's in where a block has its stride: in the first unit, on the first of
its 1x1 convolutions and on the shortcut. What strides pads by a fixed amount, the pooling too.
Convolutions have no biases here: before batch norm a bias is part of the moving mean.

Where a unit loses its stride, its own 3x3 convolution has the higher rate already, since it stands
behind the stride: the features then hold those of the strided network.

Source of the rows: keras/src/applications/resnet.py; of the cut of `keras_io`: the example
"Multiclass semantic segmentation using DeepLabV3+" of keras.io.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import keras

from deeplab import checks
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
        stride: of the first unit.
        feature: what the result of the block is called.
    """

    depth: int
    units: int
    stride: int
    feature: str


def _blocks(units: tuple[int, int, int, int]) -> tuple[Block, ...]:
    return (
        Block(256, units[0], 1, TAPS[4]),
        Block(512, units[1], 2, TAPS[8]),
        Block(1024, units[2], 2, TAPS[16]),
        Block(2048, units[3], 2, "high_level"),
    )


# Numbers of a block and of a unit -> the feature that the network of keras.io takes there, behind
# the unit's 3x3 convolution. It ends with the second of them.
_INNER_FEATURES = {(1, 3): TAPS[4], (3, 6): "high_level"}
_MEAN_COLOR = (123.68, 116.779, 103.939)  # RGB, of ImageNet


def resnet_keras(
    x: Tensor,
    *,
    blocks: tuple[Block, ...],
    output_stride: int,
    norm: BatchNormSettings,
    keras_io: bool = False,
) -> Features:
    """A ResNet of keras.applications without its classifier.

    Args:
        x: normalized image, [B,H,W,3].
        blocks: the rows of the network.
        output_stride: 8, 16 or 32; with `keras_io` 8 or 16.
        norm: batch norm of all layers.
        keras_io: whether it ends inside the last unit at stride 16, as in the DeepLabv3+ of
            keras.io.

    Returns:
        low_level [B,H/4,W/4,256], low_level_8 [B,H/8,W/8,512], low_level_16 [B,H/16,W/16,1024] and
        high_level [B,H/output_stride,W/output_stride,2048], the results of the blocks; with
        `keras_io` low_level [B,H/4,W/4,64] and high_level [...,256] alone.
    """
    linear = partial(layers.conv_bn, activation=None, norm=norm, initializer="glorot_uniform")
    conv = partial(linear, activation=layers.relu)
    x = conv(x, 64, 7, stride=2, padding="fixed", name="backbone.conv1")  # [B,H/2,W/2,64]
    # Nothing behind a ReLU is below these zeros.
    x = keras.layers.ZeroPadding2D(1, name="backbone.pool.pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="backbone.pool")(x)

    nominal = [
        block.stride if unit == 1 else 1 for block in blocks for unit in range(1, block.units + 1)
    ]
    schedule = iter(atrous_units(nominal, output_stride=output_stride, stem_stride=4))
    features: Features = {}
    for number, block in enumerate(blocks, start=1):
        for unit in range(1, block.units + 1):
            stride, rate = next(schedule)
            rate *= (block.stride if unit == 1 else 1) // stride  # behind a stride that is lost
            name = f"backbone.block{number}.unit_{unit}"
            y = conv(x, block.depth // 4, 1, stride=stride, name=f"{name}.conv1")
            y = conv(y, block.depth // 4, 3, rate=rate, name=f"{name}.conv2")
            if keras_io and (inner := _INNER_FEATURES.get((number, unit))):
                features[inner] = y
                if inner == "high_level":
                    return features
            y = linear(y, block.depth, 1, name=f"{name}.conv3")
            if unit == 1:
                x = linear(x, block.depth, 1, stride=stride, name=f"{name}.shortcut")
            x = keras.layers.Add(name=f"{name}.sum")([x, y])
            x = layers.relu(x, f"{name}.sum")
        if not keras_io:
            features[block.feature] = x
    return features


def _backbone(units: tuple[int, int, int, int]) -> Backbone:
    red, green, blue = _MEAN_COLOR
    return Backbone(
        build=partial(resnet_keras, blocks=_blocks(units)),
        norm=BatchNormSettings(epsilon=1.001e-5, momentum=0.99),
        scale=1.0,
        offset=(-red, -green, -blue),
        pad_value=_MEAN_COLOR,
    )


RESNET_50_KERAS = _backbone((3, 4, 6, 3))._replace(
    options={"keras_io": checks.flag},
    changes={
        "keras_io": {
            "scale": 2.0 / 255.0,
            "offset": -1.0,
            "pad_value": (127.5, 127.5, 127.5),
            "decoder_strides": (4,),
            "output_strides": (8, 16),
        }
    },
)
RESNET_101_KERAS = _backbone((3, 4, 23, 3))
