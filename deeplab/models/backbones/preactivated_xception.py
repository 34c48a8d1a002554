"""Aligned Xception with batch norm and ReLU before each convolution.

A variant of timm (xception_aligned.py, `PreXceptionModule`) for weights that were trained with it;
the original has no such network. Rows, strides and taps are those of the other Xceptions.

Conventions: a unit normalizes and rectifies its input once, and both its convolutions and its
shortcut, the identity as well, read that. Between the depthwise and the pointwise convolution
stands nothing. Strided convolutions pad by a fixed amount.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import keras

from deeplab.models import layers
from deeplab.models.backbones.features import Backbone, Features
from deeplab.models.backbones.xception import (
    BLOCKS_41,
    BLOCKS_65,
    INITIALIZER,
    TAPPED_BLOCKS,
    Block,
    stacked,
)
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor


def preactivated_xception(
    x: Tensor,
    *,
    blocks: tuple[Block, ...],
    output_stride: int,
    norm: BatchNormSettings,
    multi_grid: tuple[int, ...] | None,
) -> Features:
    """A pre-activated Xception without its classifier.

    Args:
        x: image scaled to [-1,1], [B,H,W,3].
        blocks: the rows of the network.
        output_stride: 8, 16 or 32.
        norm: batch norm of all layers.
        multi_grid: factors on the rates of the three separable convolutions of the last block
            (DeepLabv3 section 3.2.1); None: ones.

    Returns:
        low_level [B,H/4,W/4,256], low_level_8 [B,H/8,W/8,728], low_level_16 [B,H/16,W/16,1024],
        neither normalized nor rectified; high_level [B,H/output_stride,W/output_stride,2048],
        rectified.
    """
    x = layers.conv_bn(
        x,
        32,
        3,
        stride=2,
        padding="fixed",
        activation=layers.relu,
        norm=norm,
        initializer=INITIALIZER,
        name="backbone.entry_flow.conv1_1",
    )  # [B,H/2,W/2,32]
    x = layers.conv2d(x, 64, 3, initializer=INITIALIZER, name="backbone.entry_flow.conv1_2")

    features = stacked(
        x,
        blocks,
        partial(_module, norm=norm),
        taps=TAPPED_BLOCKS,
        output_stride=output_stride,
        multi_grid=multi_grid,
    )
    features["high_level"] = layers.relu(features["high_level"], f"backbone.{blocks[-1].scope}")
    return features


def _module(
    x: Tensor,
    block: Block,
    *,
    stride: int,
    rates: Sequence[int],
    norm: BatchNormSettings,
    name: str,
) -> tuple[Tensor, Tensor]:
    """Three separable convolutions and a shortcut; also returns the output of the second."""
    shortcut = residual = before_stride = _norm_relu(x, norm, name=name)
    for index, (depth, rate) in enumerate(zip(block.depths, rates, strict=True), start=1):
        path = f"{name}.separable_conv{index}"
        if index > 1:
            residual = _norm_relu(residual, norm, name=path)
        residual = layers.depthwise_conv2d(
            residual,
            3,
            stride=stride if index == 3 else 1,
            rate=rate,
            padding="fixed",
            initializer=INITIALIZER,
            name=f"{path}.depthwise",
        )
        residual = layers.conv2d(
            residual, depth, 1, initializer=INITIALIZER, name=f"{path}.pointwise"
        )
        if index == 2:
            before_stride = residual
    if block.skip == "none":
        return residual, before_stride
    if block.skip == "conv":
        shortcut = layers.conv2d(
            shortcut,
            block.depths[-1],
            1,
            stride=stride,
            initializer=INITIALIZER,
            name=f"{name}.shortcut",
        )
    return keras.layers.Add(name=f"{name}.sum")([residual, shortcut]), before_stride


def _norm_relu(x: Tensor, norm: BatchNormSettings, *, name: str) -> Tensor:
    name = f"{name}.norm"
    return layers.relu(layers.batch_norm(x, norm, name=name), name)


def _backbone(blocks: tuple[Block, ...], *, epsilon: float) -> Backbone:
    return Backbone(
        build=partial(preactivated_xception, blocks=blocks),
        norm=BatchNormSettings(epsilon=epsilon, momentum=0.9997),
        settings=("multi_grid",),
        multi_grid_units=len(blocks[-1].depths),
    )


# The two were trained with different epsilons.
XCEPTION_41P = _backbone(BLOCKS_41, epsilon=1e-5)
XCEPTION_65P = _backbone(BLOCKS_65, epsilon=1e-3)
