"""The decoder of DeepLabv3+ (section 3.1 and tables 1 and 2)."""

from __future__ import annotations

import keras

from deeplab.models import layers
from deeplab.models.aspp import HEAD_DEPTHWISE_INITIALIZER, HEAD_POINTWISE_INITIALIZER
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor
from deeplab.models.resize import ResizeLike


def decoder(
    x: Tensor,
    low_level: Tensor,
    *,
    low_level_channels: int,
    channels: int,
    norm: BatchNormSettings,
) -> Tensor:
    """Refines the ASPP output with a low-level feature.

    Args:
        x: output of ASPP, [B,h,w,C].
        low_level: feature of the backbone at stride 4, [B,H/4,W/4,D].
        low_level_channels: the low-level feature is projected to so many channels first, so that
            it does not outweigh the few hundred of ASPP.
        channels: width of the two separable convolutions.
        norm: batch norm of all convolutions.

    Returns:
        [B,H/4,W/4,channels].
    """
    low_level = layers.conv_bn(
        low_level,
        low_level_channels,
        1,
        activation=layers.relu,
        norm=norm,
        initializer="glorot_uniform",
        name="decoder.low_level_projection",
    )
    x = ResizeLike(name="decoder.resize")(x, low_level)
    x = keras.layers.Concatenate(name="decoder.concat")([x, low_level])
    for index in range(2):
        x = layers.separable_conv_bn(
            x,
            channels,
            3,
            activation=layers.relu,
            norm=norm,
            depthwise_initializer=HEAD_DEPTHWISE_INITIALIZER,
            pointwise_initializer=HEAD_POINTWISE_INITIALIZER,
            name=f"decoder.conv{index}",
        )
    return x
