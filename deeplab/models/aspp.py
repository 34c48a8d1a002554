"""Atrous spatial pyramid pooling (DeepLabv3 section 3.3, DeepLabv3+ section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import keras

from deeplab.models import layers
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Activation, Tensor
from deeplab.models.pooling import WindowAverage
from deeplab.models.resize import ALIGN_CORNERS, ResizeLike

# Initializers of the original's heads: core/feature_extractor.py and model.py.
HEAD_DEPTHWISE_INITIALIZER = layers.truncated_normal(0.33)
HEAD_POINTWISE_INITIALIZER = layers.truncated_normal(0.06)

# Activations of an image-level branch that weights the others instead of standing beside them.
GATES: dict[str, Activation] = {
    "sigmoid": layers.sigmoid,
    "hard_sigmoid": layers.hard_sigmoid,
}


class ImagePooling(NamedTuple):
    """The image-level branch.

    Attributes:
        window: height and width of the averages in cells of the feature map, clipped to the map;
            None: the whole map.
        stride: vertical and horizontal distance of the windows in cells.
        gate: a key of `GATES` if the branch multiplies the result; None if it is one of those
            joined.
    """

    window: tuple[int, int] | None = None
    stride: tuple[int, int] = (1, 1)
    gate: str | None = None


def aspp(
    x: Tensor,
    *,
    rates: Sequence[int],
    channels: int,
    image_pooling: ImagePooling | None,
    separable: bool,
    projection: bool,
    dropout_rate: float,
    activation: Activation,
    norm: BatchNormSettings,
    resize: str = ALIGN_CORNERS,
) -> Tensor:
    """Image pooling, a 1x1 convolution and one atrous 3x3 a rate, joined and projected.

    Args:
        x: the backbone's feature, [B,h,w,C].
        rates: one atrous branch each; may be empty.
        channels: width of every branch and of the projection.
        image_pooling: the image-level branch, None for none.
        separable: whether the atrous convolutions are separable.
        projection: whether a 1x1 convolution and dropout follow the joined branches.
        dropout_rate: applied to the projection in training.
        activation: of all but the image-level branch, which has ReLU or its gate.
        norm: batch norm of all branches.
        resize: how the averages of the image-level branch are resized, one of `RESIZES`.

    Returns:
        [B,h,w,channels], without projection channels times the number of branches joined.
    """
    dense = partial(layers.conv_bn, activation=activation, norm=norm, initializer="glorot_uniform")
    atrous: Callable[..., Tensor] = dense
    if separable:
        atrous = partial(
            layers.separable_conv_bn,
            activation=activation,
            norm=norm,
            depthwise_initializer=HEAD_DEPTHWISE_INITIALIZER,
            pointwise_initializer=HEAD_POINTWISE_INITIALIZER,
        )
    branches = [dense(x, channels, 1, name="aspp.conv0")]
    for index, rate in enumerate(rates, start=1):
        branches.append(atrous(x, channels, 3, rate=rate, name=f"aspp.conv{index}"))
    gate = None
    if image_pooling:
        image_level = _image_level(x, image_pooling, channels=channels, norm=norm, resize=resize)
        if image_pooling.gate:
            gate = image_level
        else:
            branches.insert(0, image_level)

    y = branches[0]
    if len(branches) > 1:
        y = keras.layers.Concatenate(name="aspp.concat")(branches)
    if projection:
        y = dense(y, channels, 1, name="aspp.projection")
        y = keras.layers.Dropout(dropout_rate, name="aspp.dropout")(y)
    return keras.layers.Multiply(name="aspp.gate")([y, gate]) if gate is not None else y


def _image_level(
    x: Tensor, pooling: ImagePooling, *, channels: int, norm: BatchNormSettings, resize: str
) -> Tensor:
    """[B,h,w,C] -> [B,h,w,channels]."""
    name = "aspp.image_pooling"
    # In float32: a sum over a large map does not fit into float16.
    if pooling.window is None:
        mean = keras.layers.GlobalAveragePooling2D(
            keepdims=True, dtype="float32", name=f"{name}.mean"
        )
    else:
        mean = WindowAverage(pooling.window, pooling.stride, dtype="float32", name=f"{name}.mean")
    y = mean(x)
    conv = partial(layers.conv2d, initializer="glorot_uniform", name=name)
    if pooling.gate:
        y = GATES[pooling.gate](conv(y, channels, 1, use_bias=True), name)
    else:
        y = layers.relu(layers.batch_norm(conv(y, channels, 1), norm, name=name), name)
    return ResizeLike(method=resize, name=f"{name}.resize")(y, x)
