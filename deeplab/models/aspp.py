"""Atrous spatial pyramid pooling (DeepLabv3 section 3.3, DeepLabv3+ section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import keras

from deeplab.models import layers
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor
from deeplab.models.resize import ResizeLike

# Initialisers of the original's heads: core/feature_extractor.py and model.py.
HEAD_DEPTHWISE_INITIALIZER = layers.truncated_normal(0.33)
HEAD_POINTWISE_INITIALIZER = layers.truncated_normal(0.06)


def aspp(
    x: Tensor,
    *,
    rates: Sequence[int],
    channels: int,
    image_pooling: bool,
    dropout_rate: float,
    norm: BatchNormSettings,
) -> Tensor:
    """Image pooling, a 1x1 convolution and one atrous separable 3x3 a rate, joined and projected.

    Args:
        x: the backbone's feature, [B,h,w,C].
        rates: one atrous branch each; may be empty.
        channels: width of every branch and of the result.
        image_pooling: whether the mean over the whole image is a branch, at every input size.
        dropout_rate: applied to the result in training.
        norm: batch norm of all branches.

    Returns:
        [B,h,w,channels].
    """
    dense = partial(layers.conv_bn, activation=layers.relu, norm=norm, initializer="glorot_uniform")
    branches = []
    if image_pooling:
        pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name="aspp.image_pooling.mean")
        y = dense(pooled(x), channels, 1, name="aspp.image_pooling")  # [B,1,1,channels]
        branches.append(ResizeLike(name="aspp.image_pooling.resize")(y, x))
    branches.append(dense(x, channels, 1, name="aspp.conv0"))
    for index, rate in enumerate(rates, start=1):
        branch = layers.separable_conv_bn(
            x,
            channels,
            3,
            rate=rate,
            activation=layers.relu,
            norm=norm,
            depthwise_initializer=HEAD_DEPTHWISE_INITIALIZER,
            pointwise_initializer=HEAD_POINTWISE_INITIALIZER,
            name=f"aspp.conv{index}",
        )
        branches.append(branch)
    if len(branches) > 1:
        x = keras.layers.Concatenate(name="aspp.concat")(branches)
    else:
        x = branches[0]
    x = dense(x, channels, 1, name="aspp.projection")
    return keras.layers.Dropout(dropout_rate, name="aspp.dropout")(x)
