"""The block of all MobileNets since the second: narrow, wide, narrow (arXiv 1801.04381, figure 3b).

Conventions: padding as TensorFlow's "same"; only depthwise convolutions have a rate; the last
convolution has no activation.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from deeplab.models import layers
from deeplab.models.atrous import Unit
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Activation, Tensor

INITIALIZER = layers.truncated_normal(0.09)


def inverted_residual(
    x: Tensor,
    *,
    expanded: int,
    width: int,
    kernel_size: int = 3,
    unit: Unit,
    activation: Activation,
    attention: Callable[[Tensor, str], Tensor] | None = None,
    residual: bool = True,
    norm: BatchNormSettings,
    name: str,
) -> tuple[Tensor, Tensor]:
    """Expansion, depthwise convolution, projection, and the input on top where shapes allow.

    Args:
        x: [B,H,W,C].
        expanded: width between the 1x1 convolutions; where it is C there is no first one.
        width: width of the result.
        kernel_size: of the depthwise convolution.
        unit: stride and rate.
        activation: behind the expansion and the depthwise convolution.
        attention: (tensor, path of the block) -> tensor, between depthwise and projection.
        residual: whether the input is added where widths are equal and this stride is 1, whatever
            the nominal one.
        norm: batch norm of all convolutions.
        name: path of the block.

    Returns:
        The result [B,H/stride,W/stride,width], and the output of the depthwise convolution, which
        decoders read.
    """
    y = x
    if expanded != x.shape[-1]:
        y = layers.conv_bn(
            y,
            expanded,
            1,
            activation=activation,
            norm=norm,
            initializer=INITIALIZER,
            name=f"{name}.expand",
        )
    y = depthwise = layers.depthwise_bn(
        y,
        kernel_size,
        stride=unit.stride,
        rate=unit.rate,
        activation=activation,
        norm=norm,
        initializer=INITIALIZER,
        name=f"{name}.depthwise",
    )
    if attention:
        y = attention(y, name)
    y = project(x, y, width=width, stride=unit.stride, residual=residual, norm=norm, name=name)
    return y, depthwise


def project(
    x: Tensor,
    y: Tensor,
    *,
    width: int,
    stride: int,
    residual: bool = True,
    norm: BatchNormSettings,
    name: str,
) -> Tensor:
    """The projection of a block from input `x` whose inside gave `y`, and the residual if any."""
    y = layers.conv_bn(
        y, width, 1, activation=None, norm=norm, initializer=INITIALIZER, name=f"{name}.project"
    )
    if residual and stride == 1 and width == x.shape[-1]:
        y = keras.layers.Add(name=f"{name}.sum")([x, y])
    return y


def block_name(index: int) -> str:
    """Path of a block by its position, as the original counts them."""
    return f"backbone.expanded_conv_{index}" if index else "backbone.expanded_conv"


def round_width(width: float, divisor: int, minimum: int | None = None) -> int:
    """The multiple of `divisor` next to `width`, at least `minimum`, never below 90 % of `width`.

    `minimum` is `divisor` unless given.
    """
    smallest = divisor if minimum is None else minimum
    rounded = max(smallest, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded
