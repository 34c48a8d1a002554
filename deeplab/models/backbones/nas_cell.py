"""The cells that architecture search found: tables of operations, and how a table becomes layers.

A cell joins two earlier results of its network by five pairs of operations. It first brings both
results to its width. Every pair then reads two of the tensors so far, and its sum is one more of
them. The result of the cell is the concatenation of the five sums.

Conventions: ReLU stands before every convolution, batch norm without an activation after it;
strided convolutions pad by a fixed amount.

Sources: PNASNet (Liu et al., 2018, arXiv 1712.00559), Auto-DeepLab (Liu et al., 2019, arXiv
1901.02985), core/nas_cell.py of the original.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import keras

from deeplab.models import layers
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor
from deeplab.models.resize import ResizeLike


class Operation(NamedTuple):
    """One half of a pair.

    Attributes:
        kind: "separable": two separable convolutions; "atrous": a convolution of rate 2;
            "max_pool"; "identity".
        kernel: size of its square kernel; 1 for "identity".
        source: what it reads. 0: the cell's input, 1: the result before that, 2 and on: the sums
            of this cell in order. A strided cell strides where 0 or 1 is read.
    """

    kind: Literal["separable", "atrous", "max_pool", "identity"]
    kernel: int
    source: int


Pair = tuple[Operation, Operation]

HNASNET_CELL: tuple[Pair, ...] = (
    (Operation("atrous", 5, 1), Operation("separable", 3, 0)),
    (Operation("separable", 3, 1), Operation("atrous", 3, 0)),
    (Operation("separable", 3, 3), Operation("separable", 3, 1)),
    (Operation("separable", 5, 4), Operation("separable", 5, 2)),
    (Operation("separable", 5, 3), Operation("atrous", 5, 5)),
)
PNASNET_CELL: tuple[Pair, ...] = (
    (Operation("separable", 5, 1), Operation("max_pool", 3, 1)),
    (Operation("separable", 7, 0), Operation("max_pool", 3, 0)),
    (Operation("separable", 5, 0), Operation("separable", 3, 0)),
    (Operation("separable", 3, 4), Operation("max_pool", 3, 0)),
    (Operation("separable", 3, 1), Operation("identity", 1, 0)),
)

_INPUTS = 2  # tensors of a cell that are not its own sums


def initializer() -> keras.initializers.Initializer:
    """Uniform within +-sqrt(1 / fan-in)."""
    return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")


def cell(
    x: Tensor,
    previous: Tensor,
    pairs: tuple[Pair, ...],
    *,
    filters: int,
    stride: int,
    norm: BatchNormSettings,
    name: str,
) -> Tensor:
    """A cell.

    Args:
        x: the cell's input, [B,H,W,C].
        previous: the result before that, [B,h,w,D] of any size; it is resized to that of `x`.
        pairs: rows of the cell.
        filters: width of every operation.
        stride: 1 or 2.
        norm: batch norm of all operations.
        name: path of the cell.

    Returns:
        [B,ceil(H/stride),ceil(W/stride),filters * len(pairs)].
    """
    previous = ResizeLike(name=f"{name}.previous.resize")(previous, x)
    if previous.shape[-1] != filters:
        previous = _relu_conv_bn(previous, filters, 1, norm=norm, name=f"{name}.previous")
    tensors = [_relu_conv_bn(x, filters, 1, norm=norm, name=f"{name}.input"), previous]
    for index, pair in enumerate(pairs):
        halves = [
            _operate(
                tensors[operation.source],
                operation,
                stride=stride if operation.source < _INPUTS else 1,
                norm=norm,
                name=f"{name}.pair_{index}.{side}",
            )
            for side, operation in zip(("left", "right"), pair, strict=True)
        ]
        tensors.append(keras.layers.Add(name=f"{name}.pair_{index}.sum")(halves))
    return keras.layers.Concatenate(name=f"{name}.concat")(tensors[_INPUTS:])


def _operate(
    x: Tensor, operation: Operation, *, stride: int, norm: BatchNormSettings, name: str
) -> Tensor:
    filters, kernel = x.shape[-1], operation.kernel
    path = f"{name}.{operation.kind}_{kernel}x{kernel}"
    match operation.kind:
        case "separable":
            x = _relu_separable_conv_bn(x, kernel, stride=stride, norm=norm, name=f"{path}_1")
            return _relu_separable_conv_bn(x, kernel, stride=1, norm=norm, name=f"{path}_2")
        case "atrous":
            # Half the resolution makes up for half the rate: the kernel sees the same window.
            if stride == 2:
                x = ResizeLike(0.5, name=f"{path}.resize")(x, x)
            return _relu_conv_bn(x, filters, kernel, rate=2 // stride, norm=norm, name=path)
        case "max_pool":
            pool = keras.layers.MaxPooling2D(kernel, strides=stride, padding="same", name=path)
            return pool(x)
        case "identity":
            if stride == 1:
                return x
            return _relu_conv_bn(x, filters, 1, stride=stride, norm=norm, name=f"{name}.projection")


def _relu_conv_bn(
    x: Tensor,
    filters: int,
    kernel_size: int,
    *,
    stride: int = 1,
    rate: int = 1,
    norm: BatchNormSettings,
    name: str,
) -> Tensor:
    return layers.conv_bn(
        layers.relu(x, name),
        filters,
        kernel_size,
        stride=stride,
        rate=rate,
        padding="fixed",
        activation=None,
        norm=norm,
        initializer=initializer,
        name=name,
    )


def _relu_separable_conv_bn(
    x: Tensor, kernel_size: int, *, stride: int, norm: BatchNormSettings, name: str
) -> Tensor:
    # Nothing between its two convolutions, unlike `layers.separable_conv_bn`.
    x = layers.depthwise_conv2d(
        layers.relu(x, name),
        kernel_size,
        stride=stride,
        padding="fixed",
        initializer=initializer,
        name=f"{name}.depthwise",
    )
    x = layers.conv2d(x, x.shape[-1], 1, initializer=initializer, name=f"{name}.pointwise")
    return layers.batch_norm(x, norm, name=name)
