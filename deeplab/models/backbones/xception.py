"""Modified Aligned Xception (DeepLabv3+ section 3.2, figure 4).

Conventions: every strided convolution is separable and pads by a fixed amount; a module has three
separable convolutions, of which the last one carries the stride. Two styles of module: in all but
the last block ReLU stands before each separable convolution and none inside or after it; in the
last block ReLU stands after the depthwise and after the pointwise batch norm.

With bounded activations, meant for 8-bit inference, nothing leaves [-6,6]: `_BOUNDED` below. The
strided separable convolutions then pad as TensorFlow's "same".

Source of depths and strides: core/xception.py of the original.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import keras

from deeplab.models import layers
from deeplab.models.atrous import atrous_units
from deeplab.models.backbones.features import TAPS, Backbone, Features
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Activation, Padding, Tensor


class Block(NamedTuple):
    """A row of the network: `units` equal modules; the last of them carries the stride."""

    scope: str
    depths: tuple[int, int, int]
    skip: Literal["conv", "sum", "none"]
    units: int
    stride: int
    relu_inside: bool = False


_EXIT_FLOW = (
    Block("exit_flow.block1", (728, 1024, 1024), "conv", 1, 2),
    Block("exit_flow.block2", (1536, 1536, 2048), "none", 1, 1, relu_inside=True),
)
_ENTRY_FLOW = (
    Block("entry_flow.block1", (128, 128, 128), "conv", 1, 2),
    Block("entry_flow.block2", (256, 256, 256), "conv", 1, 2),
    Block("entry_flow.block3", (728, 728, 728), "conv", 1, 2),
)
_ENTRY_FLOW_71 = (
    Block("entry_flow.block1", (128, 128, 128), "conv", 1, 2),
    Block("entry_flow.block2", (256, 256, 256), "conv", 1, 1),
    Block("entry_flow.block3", (256, 256, 256), "conv", 1, 2),
    Block("entry_flow.block4", (728, 728, 728), "conv", 1, 1),
    Block("entry_flow.block5", (728, 728, 728), "conv", 1, 2),
)


def _middle_flow(units: int) -> tuple[Block, ...]:
    return (Block("middle_flow.block1", (728, 728, 728), "sum", units, 1),)


BLOCKS_41 = _ENTRY_FLOW + _middle_flow(8) + _EXIT_FLOW
BLOCKS_65 = _ENTRY_FLOW + _middle_flow(16) + _EXIT_FLOW
_BLOCKS_71 = _ENTRY_FLOW_71 + _middle_flow(16) + _EXIT_FLOW

# Scope of a block -> stride of the decoder that reads its second separable convolution, which is
# before the stride and not rectified.
Taps = dict[str, int]
TAPPED_BLOCKS: Taps = {"entry_flow.block2": 4, "entry_flow.block3": 8, "exit_flow.block1": 16}
_TAPPED_BLOCKS_71: Taps = {"entry_flow.block3": 4, "entry_flow.block5": 8, "exit_flow.block1": 16}


class Style(NamedTuple):
    """What stands between the convolutions.

    Attributes:
        relu: before or behind separable convolutions.
        linear: behind convolutions that have no ReLU, and on both inputs of a sum.
        sum: behind a sum.
        padding: of strided separable convolutions.
    """

    relu: Activation
    linear: Activation | None
    sum: Activation | None
    padding: Padding


_PLAIN = Style(layers.relu, None, None, "fixed")
_BOUNDED = Style(layers.relu6, layers.clip6, layers.relu6, "same")

INITIALIZER = layers.truncated_normal(0.09)


def xception(
    x: Tensor,
    *,
    blocks: tuple[Block, ...],
    taps: Taps,
    output_stride: int,
    norm: BatchNormSettings,
    multi_grid: tuple[int, ...] | None,
    bounded_activation: bool,
) -> Features:
    """An Xception without its classifier.

    Args:
        x: image scaled to [-1,1], [B,H,W,3].
        blocks: the rows of the network.
        taps: the blocks that decoders read.
        output_stride: 8, 16 or 32.
        norm: batch norm of all layers.
        multi_grid: factors on the rates of the three separable convolutions of the last block
            (DeepLabv3 section 3.2.1); None: ones.
        bounded_activation: whether all activations are kept in [-6,6].

    Returns:
        low_level [B,H/4,W/4,256], low_level_8 [B,H/8,W/8,728], low_level_16 [B,H/16,W/16,1024],
        high_level [B,H/output_stride,W/output_stride,2048].
    """
    style = _BOUNDED if bounded_activation else _PLAIN
    stem = partial(
        layers.conv_bn,
        padding="fixed",
        activation=style.relu,
        norm=norm,
        initializer=INITIALIZER,
    )
    x = stem(x, 32, 3, stride=2, name="backbone.entry_flow.conv1_1")  # [B,H/2,W/2,32]
    x = stem(x, 64, 3, name="backbone.entry_flow.conv1_2")

    return stacked(
        x,
        blocks,
        partial(_module, style=style, norm=norm),
        taps=taps,
        output_stride=output_stride,
        multi_grid=multi_grid,
    )


def stacked(
    x: Tensor,
    blocks: tuple[Block, ...],
    module: Callable[..., tuple[Tensor, Tensor]],
    *,
    taps: Taps,
    output_stride: int,
    multi_grid: tuple[int, ...] | None,
) -> Features:
    """The modules of a network behind its stem of stride 2.

    Args:
        x: output of the stem, [B,H/2,W/2,64].
        blocks: the rows of the network.
        module: (x, block, *, stride, rates, name) -> its output, and that of its second separable
            convolution.
        taps: as of `xception`.
        output_stride: as of `xception`.
        multi_grid: as of `xception`.

    Returns:
        The tapped features and high_level, the output of the last module.
    """
    rows = [(block, unit) for block in blocks for unit in range(1, block.units + 1)]
    nominal = [block.stride if unit == block.units else 1 for block, unit in rows]
    schedule = atrous_units(nominal, output_stride=output_stride, stem_stride=2)
    features: Features = {}
    for (block, unit), (stride, rate) in zip(rows, schedule, strict=True):
        grid = multi_grid if multi_grid and block is blocks[-1] else (1, 1, 1)
        x, before_stride = module(
            x,
            block,
            stride=stride,
            rates=[rate * factor for factor in grid],
            name=f"backbone.{block.scope}.unit_{unit}",
        )
        if block.scope in taps:
            features[TAPS[taps[block.scope]]] = before_stride
    features["high_level"] = x
    return features


def _module(
    x: Tensor,
    block: Block,
    *,
    stride: int,
    rates: Sequence[int],
    name: str,
    style: Style,
    norm: BatchNormSettings,
) -> tuple[Tensor, Tensor]:
    """Three separable convolutions and a shortcut; also returns the output of the second."""
    residual = before_stride = x
    for index, (depth, rate) in enumerate(zip(block.depths, rates, strict=True), start=1):
        path = f"{name}.separable_conv{index}"
        if not block.relu_inside:
            residual = style.relu(residual, path)
        residual = layers.separable_conv_bn(
            residual,
            depth,
            3,
            stride=stride if index == 3 else 1,
            rate=rate,
            padding=style.padding,
            activation=style.relu if block.relu_inside else style.linear,
            norm=norm,
            depthwise_initializer=INITIALIZER,
            pointwise_initializer=INITIALIZER,
            name=path,
        )
        if index == 2:
            before_stride = residual
    if block.skip == "none":
        return residual, before_stride
    if block.skip == "conv":
        x = layers.conv_bn(
            x,
            block.depths[-1],
            1,
            stride=stride,
            activation=None,
            norm=norm,
            initializer=INITIALIZER,
            name=f"{name}.shortcut",
        )
    if style.linear:
        x = style.linear(x, f"{name}.shortcut")
    x = keras.layers.Add(name=f"{name}.sum")([residual, x])
    return style.sum(x, f"{name}.sum") if style.sum else x, before_stride


def _backbone(blocks: tuple[Block, ...], taps: Taps) -> Backbone:
    return Backbone(
        build=partial(xception, blocks=blocks, taps=taps),
        norm=BatchNormSettings(epsilon=1e-3, momentum=0.9997),
        settings=("multi_grid", "bounded_activation"),
        multi_grid_units=len(blocks[-1].depths),
    )


XCEPTION_41 = _backbone(BLOCKS_41, TAPPED_BLOCKS)
XCEPTION_65 = _backbone(BLOCKS_65, TAPPED_BLOCKS)
XCEPTION_71 = _backbone(_BLOCKS_71, _TAPPED_BLOCKS_71)
