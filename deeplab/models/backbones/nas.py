"""Backbones that architecture search found: Auto-DeepLab's and a small PNASNet.

Both are a stem of three convolutions and twelve equal cells. Only the widths and the resolutions
of the cells differ: each cell stands at a level, where level 0 is the resolution of the stem's
result (stride 4) and every level halves the resolution and doubles the width.

Source of levels and stem: core/nas_network.py of the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from deeplab import checks
from deeplab.errors import DeepLabError
from deeplab.models import layers
from deeplab.models.backbones import nas_cell
from deeplab.models.backbones.features import Backbone, Features
from deeplab.models.backbones.nas_cell import HNASNET_CELL, PNASNET_CELL, Pair
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor
from deeplab.models.resize import ResizeLike

FILTERS = 20  # width of an operation at level 0 in the networks that were published

# The path that the search found (Auto-DeepLab, figure 3). It ends at level 1, stride 8.
_HNASNET_LEVELS = (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)
HNASNET_OUTPUT_STRIDE = 8
# Not the atrous rule: another output stride is another choice of levels, so of widths too.
_PNASNET_LEVELS = {
    8: (1,) * 12,
    16: (1,) * 4 + (2,) * 8,
    32: (1,) * 4 + (2,) * 4 + (3,) * 4,
}


def hnasnet(
    x: Tensor,
    *,
    output_stride: int,
    norm: BatchNormSettings,
    filters: int = FILTERS,
    remove_stride_32: bool = False,
) -> Features:
    """The network of Auto-DeepLab.

    Args:
        x: image scaled to [-1,1], [B,H,W,3].
        output_stride: 8.
        norm: batch norm of all layers.
        filters: width of an operation at stride 4.
        remove_stride_32: whether the cells of level 3 run at stride 16. Widths and variables
            stay.

    Returns:
        high_level [B,H/8,W/8,10 filters], rectified. low_level [B,H/4,W/4,5 filters], low_level_8
        [B,H/8,W/8,10 filters] and low_level_16 [B,H/16,W/16,20 filters] are not.

    Raises:
        DeepLabError: for another output stride than 8.
    """
    if output_stride != HNASNET_OUTPUT_STRIDE:
        raise DeepLabError(
            f"hnasnet has no output_stride {output_stride}; choices: {HNASNET_OUTPUT_STRIDE}"
        )
    coarsest = 2 if remove_stride_32 else max(_HNASNET_LEVELS)
    _, cells = _stem_and_cells(
        x,
        HNASNET_CELL,
        levels=_HNASNET_LEVELS,
        resolutions=[min(level, coarsest) for level in _HNASNET_LEVELS],
        filters=filters,
        norm=norm,
    )
    return {
        "low_level": cells[2],
        "low_level_8": cells[5],
        "low_level_16": cells[7],
        "high_level": layers.relu(cells[-1], "backbone"),
    }


def pnasnet(
    x: Tensor, *, output_stride: int, norm: BatchNormSettings, filters: int = FILTERS
) -> Features:
    """A PNASNet of twelve cells.

    Args:
        x: image scaled to [-1,1], [B,H,W,3].
        output_stride: 8, 16 or 32. The variables depend on it, in this backbone alone.
        norm: batch norm of all layers.
        filters: width of an operation at stride 4 (where no cell stands).

    Returns:
        high_level [B,H/output_stride,W/output_stride,5 filters output_stride / 4], rectified.
        low_level [B,H/4,W/4,128], low_level_8 and low_level_16 (the fourth and the eighth cell:
        never coarser than high_level) are not.
    """
    levels = _PNASNET_LEVELS[output_stride]
    stem, cells = _stem_and_cells(
        x, PNASNET_CELL, levels=levels, resolutions=levels, filters=filters, norm=norm
    )
    return {
        "low_level": stem,
        "low_level_8": cells[3],
        "low_level_16": cells[7],
        "high_level": layers.relu(cells[-1], "backbone"),
    }


def _stem_and_cells(
    x: Tensor,
    pairs: tuple[Pair, ...],
    *,
    levels: Sequence[int],
    resolutions: Sequence[int],
    filters: int,
    norm: BatchNormSettings,
) -> tuple[Tensor, list[Tensor]]:
    """The results of the stem, [B,H/4,W/4,128], and of each cell, none rectified.

    `levels` gives the widths of the cells, `resolutions` the levels that they run at.
    """
    conv = partial(
        layers.conv_bn,
        padding="fixed",
        activation=None,
        norm=norm,
        initializer=nas_cell.initializer,
    )
    x = conv(x, 64, 3, stride=2, name="backbone.conv0")  # [B,H/2,W/2,64]
    previous = conv(layers.relu(x, "backbone.conv0"), 64, 3, name="backbone.conv1")
    x = layers.relu(previous, "backbone.conv1")
    stem = x = conv(x, 128, 3, stride=2, name="backbone.conv2")

    cells, current = [], 0
    for index, (level, resolution) in enumerate(zip(levels, resolutions, strict=True)):
        name = f"backbone.cell_{index}"
        source = x
        if resolution < current:
            source = ResizeLike(2.0, name=f"{name}.input.resize")(x, x)
        y = nas_cell.cell(
            source,
            previous,
            pairs,
            filters=filters * 2**level,
            stride=2 if resolution > current else 1,
            norm=norm,
            name=name,
        )
        cells.append(y)
        previous, x, current = x, y, resolution
    return stem, cells


_WIDTH = {"filters": partial(checks.integer, minimum=1)}
_row = partial(
    Backbone,
    norm=BatchNormSettings(epsilon=1e-3, momentum=0.9997),
    decays_depthwise=True,
)

HNASNET = _row(
    build=hnasnet,
    output_strides=(HNASNET_OUTPUT_STRIDE,),
    options={**_WIDTH, "remove_stride_32": checks.flag},
)
PNASNET = _row(build=pnasnet, options=_WIDTH, variables_follow_output_stride=True)
