"""Decoders: refine a coarse result with finer features of the backbone.

The decoder of DeepLabv3+ (section 3.1 and tables 1 and 2) joins both and smooths twice. The lighter
one of the MobileNetV3 paper (arXiv 1905.02244, section 6.4) adds them up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import keras

from deeplab.models import layers
from deeplab.models.aspp import HEAD_DEPTHWISE_INITIALIZER, HEAD_POINTWISE_INITIALIZER
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Activation, Tensor
from deeplab.models.resize import ResizeLike


class Convolutions(NamedTuple):
    """The two kinds of convolution of a decoder, (x, channels, kernel size, *, name) -> x."""

    projection: Callable[..., Tensor]
    smoothing: Callable[..., Tensor]


def convolutions(
    *, separable: bool, activation: Activation, norm: BatchNormSettings
) -> Convolutions:
    """Convolutions with batch norm; those that smooth may be separable."""
    dense = partial(layers.conv_bn, activation=activation, norm=norm, initializer="glorot_uniform")
    if not separable:
        return Convolutions(dense, dense)
    smoothing = partial(
        layers.separable_conv_bn,
        activation=activation,
        norm=norm,
        depthwise_initializer=HEAD_DEPTHWISE_INITIALIZER,
        pointwise_initializer=HEAD_POINTWISE_INITIALIZER,
    )
    return Convolutions(dense, smoothing)


def linear_convolutions() -> Convolutions:
    """Dense convolutions with biases and nothing behind them, for a decoder that gives logits."""
    dense = partial(layers.conv2d, use_bias=True, initializer="glorot_uniform")
    return Convolutions(dense, dense)


def decoder(
    x: Tensor,
    low_levels: Sequence[tuple[int, Tensor]],
    images: Tensor,
    *,
    stage: Callable[..., Tensor],
) -> Tensor:
    """Refines the output of ASPP, stage after stage.

    Args:
        x: output of ASPP, [B,h,w,C].
        low_levels: a stride and the feature of the backbone to join there, for each stage.
        images: what the network sees, [B,H,W,any]; its size decides those of the stages.
        stage: `concat_stage` or `sum_stage` with its settings.

    Returns:
        [B,H/s,W/s,D], s the stride of the last stage.
    """
    for index, (stride, low_level) in enumerate(low_levels):
        name = f"decoder.stage_{index}" if index else "decoder"
        x = stage(x, low_level, images, stride=stride, name=name)
    return x


def concat_stage(
    x: Tensor,
    low_level: Tensor,
    images: Tensor,
    *,
    stride: int,
    channels: int,
    low_level_channels: int,
    kinds: Convolutions,
    resize: str,
    name: str,
) -> Tensor:
    """Joins both tensors and smooths with two 3x3 convolutions.

    Args:
        x: the coarse tensor, [B,h,w,C].
        low_level: the fine one, [B,H,W,D].
        images: what the network sees.
        stride: size of `images` over that of the result.
        channels: width of the result.
        low_level_channels: the low-level feature is projected to so many channels first, so that
            it does not outweigh the few hundred of ASPP.
        kinds: the convolutions.
        resize: how both tensors come to their size, one of `RESIZES`.
        name: path of the stage.
    """
    path = f"{name}.low_level_projection"
    low_level = kinds.projection(low_level, low_level_channels, 1, name=path)
    to_grid = partial(_to_grid, images=images, stride=stride, resize=resize)
    x, low_level = to_grid(x, name=name), to_grid(low_level, name=path)
    x = keras.layers.Concatenate(name=f"{name}.concat")([x, low_level])
    for index in range(2):
        x = kinds.smoothing(x, channels, 3, name=f"{name}.conv{index}")
    return x


def sum_stage(
    x: Tensor,
    low_level: Tensor,
    images: Tensor,
    *,
    stride: int,
    channels: int,
    kernel_size: int,
    kinds: Convolutions,
    resize: str,
    name: str,
) -> Tensor:
    """Adds one convolution of the coarse tensor and a projection of the low-level feature.

    Arguments are those of `concat_stage`; `kernel_size` is that of the convolution.
    """
    path = f"{name}.low_level_projection"
    low_level = kinds.projection(low_level, channels, 1, name=path)
    to_grid = partial(_to_grid, images=images, stride=stride, resize=resize)
    x = kinds.smoothing(to_grid(x, name=name), channels, kernel_size, name=f"{name}.sum_conv")
    low_level = to_grid(low_level, name=path)
    return keras.layers.Add(name=f"{name}.sum")([x, low_level])


def _to_grid(x: Tensor, *, images: Tensor, stride: int, resize: str, name: str) -> Tensor:
    return ResizeLike(1 / stride, method=resize, name=f"{name}.resize")(x, images)
