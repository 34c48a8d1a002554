"""The convolutions that everything else is made of: functions from tensor to tensor.

Tensors are [B,H,W,C]. `name` is the path of the layer, joined by dots, since Keras allows no slash
in a name; its variables are stored in checkpoints as `<path>/kernel`, `<path>/batch_norm/gamma` and
so on, with slashes (`variables_by_path`).

Padding: with stride 1 always "same". With a stride, "same" pads as TensorFlow does (the MobileNets)
and "fixed" pads (k - 1) // 2 pixels of zeros before and the rest after, whatever the size of the
input (Xception and ResNet; `fixed_padding` of the original). They differ at even sizes only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import keras

from deeplab.models.batch_norm import BatchNorm, BatchNormSettings

Tensor: TypeAlias = keras.KerasTensor
Activation: TypeAlias = Callable[[Tensor, str], Tensor]
Padding: TypeAlias = Literal["same", "fixed"]
# One number, or a vertical and a horizontal one.
Rate: TypeAlias = int | tuple[int, int]
# A kernel initializer by name or as a factory, since a Keras initializer object may be used once.
Initializer: TypeAlias = str | Callable[[], keras.initializers.Initializer]


def relu(x: Tensor, name: str) -> Tensor:
    """max(x, 0)."""
    return keras.layers.ReLU(name=f"{name}.relu")(x)


def relu6(x: Tensor, name: str) -> Tensor:
    """min(max(x, 0), 6)."""
    return keras.layers.ReLU(max_value=6.0, name=f"{name}.relu6")(x)


def hard_swish(x: Tensor, name: str) -> Tensor:
    """x * relu6(x + 3) / 6 (MobileNetV3, arXiv 1905.02244, section 5.2)."""
    return keras.layers.Activation("hard_silu", name=f"{name}.hard_swish")(x)


def sigmoid(x: Tensor, name: str) -> Tensor:
    """1 / (1 + exp(-x))."""
    return keras.layers.Activation("sigmoid", name=f"{name}.sigmoid")(x)


def hard_sigmoid(x: Tensor, name: str) -> Tensor:
    """relu6(x + 3) * 0.16667; the released networks were trained with these five digits."""
    return keras.layers.Activation(_hard_sigmoid, name=f"{name}.hard_sigmoid")(x)


@keras.saving.register_keras_serializable("deeplab")
def _hard_sigmoid(x: Tensor) -> Tensor:
    return keras.ops.relu6(x + 3.0) * 0.16667


def clip6(x: Tensor, name: str) -> Tensor:
    """min(max(x, -6), 6)."""
    return keras.layers.Activation(_clip6, name=f"{name}.clip6")(x)


@keras.saving.register_keras_serializable("deeplab")
def _clip6(x: Tensor) -> Tensor:
    return keras.ops.clip(x, -6.0, 6.0)


def truncated_normal(stddev: float) -> Callable[[], keras.initializers.Initializer]:
    """A factory of truncated normal initializers with mean 0."""
    return lambda: keras.initializers.TruncatedNormal(stddev=stddev)


def conv2d(
    x: Tensor,
    filters: int,
    kernel_size: int,
    *,
    stride: int = 1,
    rate: int = 1,
    padding: Padding = "same",
    use_bias: bool = False,
    initializer: Initializer,
    name: str,
) -> Tensor:
    """A convolution, [B,H,W,C] -> [B,ceil(H/stride),ceil(W/stride),filters]."""
    x, keras_padding = _pad(x, kernel_size, stride=stride, padding=padding, name=name)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        dilation_rate=rate,
        padding=keras_padding,
        use_bias=use_bias,
        kernel_initializer=_make(initializer),
        name=name,
    )(x)


def depthwise_conv2d(
    x: Tensor,
    kernel_size: int,
    *,
    stride: int = 1,
    rate: Rate = 1,
    padding: Padding = "same",
    initializer: Initializer,
    name: str,
) -> Tensor:
    """One kernel a channel, [B,H,W,C] -> [B,ceil(H/stride),ceil(W/stride),C]."""
    x, keras_padding = _pad(x, kernel_size, stride=stride, padding=padding, name=name)
    return keras.layers.DepthwiseConv2D(
        kernel_size,
        strides=stride,
        dilation_rate=rate,
        padding=keras_padding,
        use_bias=False,
        depthwise_initializer=_make(initializer),
        name=name,
    )(x)


def batch_norm(x: Tensor, norm: BatchNormSettings, *, name: str) -> Tensor:
    """Batch normalization; `name` is the path of the convolution that it follows."""
    return BatchNorm(norm.epsilon, norm.momentum, name=f"{name}.batch_norm")(x)


def conv_bn(
    x: Tensor,
    filters: int,
    kernel_size: int,
    *,
    stride: int = 1,
    rate: int = 1,
    padding: Padding = "same",
    activation: Activation | None,
    norm: BatchNormSettings,
    initializer: Initializer,
    name: str,
) -> Tensor:
    """Convolution, batch norm, activation."""
    x = conv2d(
        x,
        filters,
        kernel_size,
        stride=stride,
        rate=rate,
        padding=padding,
        initializer=initializer,
        name=name,
    )
    x = batch_norm(x, norm, name=name)
    return activation(x, name) if activation else x


def depthwise_bn(
    x: Tensor,
    kernel_size: int,
    *,
    stride: int = 1,
    rate: Rate = 1,
    padding: Padding = "same",
    activation: Activation | None,
    norm: BatchNormSettings,
    initializer: Initializer,
    name: str,
) -> Tensor:
    """Depthwise convolution, batch norm, activation."""
    x = depthwise_conv2d(
        x,
        kernel_size,
        stride=stride,
        rate=rate,
        padding=padding,
        initializer=initializer,
        name=name,
    )
    x = batch_norm(x, norm, name=name)
    return activation(x, name) if activation else x


def separable_conv_bn(
    x: Tensor,
    filters: int,
    kernel_size: int,
    *,
    stride: int = 1,
    rate: Rate = 1,
    padding: Padding = "same",
    activation: Activation | None,
    norm: BatchNormSettings,
    depthwise_initializer: Initializer,
    pointwise_initializer: Initializer,
    name: str,
) -> Tensor:
    """An atrous separable convolution (DeepLabv3+ section 3.1, figure 3c).

    A depthwise convolution with the stride and the rate, then a 1x1 convolution; batch norm and
    the activation (if any) after both.
    """
    x = depthwise_bn(
        x,
        kernel_size,
        stride=stride,
        rate=rate,
        padding=padding,
        activation=activation,
        norm=norm,
        initializer=depthwise_initializer,
        name=f"{name}.depthwise",
    )
    return conv_bn(
        x,
        filters,
        1,
        activation=activation,
        norm=norm,
        initializer=pointwise_initializer,
        name=f"{name}.pointwise",
    )


def _pad(
    x: Tensor, kernel_size: int, *, stride: int, padding: Padding, name: str
) -> tuple[Tensor, str]:
    if padding == "same" or stride == 1:
        return x, "same"
    before = (kernel_size - 1) // 2
    after = kernel_size - 1 - before
    pads = ((before, after), (before, after))
    return keras.layers.ZeroPadding2D(pads, name=f"{name}.pad")(x), "valid"


def _make(initializer: Initializer) -> keras.initializers.Initializer:
    return keras.initializers.get(initializer) if isinstance(initializer, str) else initializer()
