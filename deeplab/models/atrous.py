"""The output stride of a network, and what follows from it (DeepLabv3+ section 3.1).

A backbone is walked unit by unit. While the product of the strides is below the output stride, a
unit keeps its nominal stride. After that every unit runs with stride 1, and a unit that lost its
stride raises the rate of all units behind it, but not its own: its kernel still sees the
resolution that it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Unit(NamedTuple):
    """How one unit runs: the stride that is left of its nominal one, and its atrous rate."""

    stride: int
    rate: int


def atrous_units(
    nominal_strides: Sequence[int], *, output_stride: int, stem_stride: int = 1
) -> list[Unit]:
    """Strides and rates of the units of a backbone at an output stride.

    Args:
        nominal_strides: stride of each unit in the classification network, in order.
        output_stride: input size over the size of the last feature.
        stem_stride: stride of all that comes before the first unit.

    Source: core/resnet_utils.py, `stack_blocks_dense`, of the original.
    """
    current, rate, units = stem_stride, 1, []
    for nominal in nominal_strides:
        if current == output_stride:
            units.append(Unit(stride=1, rate=rate))
            rate *= nominal
        else:
            units.append(Unit(stride=nominal, rate=1))
            current *= nominal
    return units
