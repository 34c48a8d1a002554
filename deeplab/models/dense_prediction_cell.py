"""The dense prediction cell, a searched head in the place of ASPP (Chen et al., 2018).

A cell is a table of separable convolutions, each on the backbone's feature or on an earlier branch;
all branches are joined and projected. Sources: arXiv 1809.04184 and
core/dense_prediction_cell.py of the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras

from deeplab import checks
from deeplab.errors import DeepLabError
from deeplab.models import layers
from deeplab.models.aspp import HEAD_DEPTHWISE_INITIALIZER, HEAD_POINTWISE_INITIALIZER
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor

FEATURE = -1  # as `Branch.source`: the backbone's feature


class Branch(NamedTuple):
    """One convolution of a cell.

    Attributes:
        kernel: size of the square kernel; a kernel of 1 is one dense convolution, any other a
            separable one.
        rate: vertical and horizontal atrous rate at output stride 16.
        source: what it reads: `FEATURE` or the index of an earlier branch.
    """

    kernel: int
    rate: tuple[int, int]
    source: int


# The best cell of the search on Cityscapes, which xception_71 was released with.
CITYSCAPES_CELL: tuple[Branch, ...] = (
    Branch(3, (1, 6), FEATURE),
    Branch(3, (18, 15), 0),
    Branch(3, (6, 3), 1),
    Branch(3, (1, 1), 0),
    Branch(3, (6, 21), 0),
)

# The output strides at which all rates are whole numbers.
CELL_OUTPUT_STRIDES = (8, 16)


def check_branches(name: str, value: object) -> tuple[Branch, ...]:
    """The rows of a cell that came from a configuration or from JSON.

    Args:
        name: what to call the cell in a message: a setting or a file.
        value: a list of rows (kernel, (vertical rate, horizontal rate), source).

    Raises:
        DeepLabError: for a value that is no such row, or a source that is no earlier branch.
    """
    if not isinstance(value, tuple | list) or not value:
        raise DeepLabError(f"{name} must be a list of rows (kernel, rate, source), not {value!r}")
    return tuple(_check_row(f"{name}: row {index}", index, row) for index, row in enumerate(value))


def _check_row(name: str, index: int, row: object) -> Branch:
    if not isinstance(row, tuple | list) or len(row) != 3:
        raise DeepLabError(f"{name} must be (kernel, rate, source), not {row!r}")
    kernel = checks.integer(f"{name}: kernel", row[0], minimum=1)
    rate = checks.integers(f"{name}: rate", row[1], minimum=1)
    if len(rate) != 2:
        raise DeepLabError(f"{name}: rate must be two numbers, not {row[1]!r}")
    source = checks.one_of_numbers(f"{name}: source", row[2], range(FEATURE, index))
    return Branch(kernel, (rate[0], rate[1]), source)


def dense_prediction_cell(
    x: Tensor,
    *,
    branches: Sequence[Branch],
    output_stride: int,
    channels: int,
    dropout_rate: float,
    norm: BatchNormSettings,
) -> Tensor:
    """The branches of a cell, joined and projected.

    Args:
        x: the backbone's feature, [B,h,w,C].
        branches: rows of the cell.
        output_stride: 8 or 16; at 8 the rates are doubled.
        channels: width of every branch and of the result.
        dropout_rate: applied to the joined branches in training, before the projection (ASPP has
            it behind the projection).
        norm: batch norm of all branches.

    Returns:
        [B,h,w,channels].

    Raises:
        DeepLabError: for another output stride.
    """
    if output_stride not in CELL_OUTPUT_STRIDES:
        raise DeepLabError(
            f"a dense prediction cell has no output_stride {output_stride}; choices: "
            f"{', '.join(map(str, CELL_OUTPUT_STRIDES))}"
        )
    factor = 16 // output_stride
    outputs: list[Tensor] = []
    for index, branch in enumerate(branches):
        source = x if branch.source == FEATURE else outputs[branch.source]
        name = f"dense_prediction_cell.branch{index}"
        outputs.append(
            _branch(source, branch, factor=factor, channels=channels, norm=norm, name=name)
        )
    y = keras.layers.Concatenate(name="dense_prediction_cell.concat")(outputs)
    y = keras.layers.Dropout(dropout_rate, name="dense_prediction_cell.dropout")(y)
    return _dense(y, channels, norm=norm, name="dense_prediction_cell.projection")


def _branch(
    x: Tensor, branch: Branch, *, factor: int, channels: int, norm: BatchNormSettings, name: str
) -> Tensor:
    if branch.kernel == 1:
        return _dense(x, channels, norm=norm, name=name)
    vertical, horizontal = branch.rate
    return layers.separable_conv_bn(
        x,
        channels,
        branch.kernel,
        rate=(vertical * factor, horizontal * factor),
        activation=layers.relu,
        norm=norm,
        depthwise_initializer=HEAD_DEPTHWISE_INITIALIZER,
        pointwise_initializer=HEAD_POINTWISE_INITIALIZER,
        name=name,
    )


def _dense(x: Tensor, channels: int, *, norm: BatchNormSettings, name: str) -> Tensor:
    return layers.conv_bn(
        x,
        channels,
        1,
        activation=layers.relu,
        norm=norm,
        initializer="glorot_uniform",
        name=name,
    )
