"""A backbone of few layers, for tests of what does not depend on it.

Building and tracing a network takes as long as it has layers, however narrow they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from deeplab.models import BACKBONES, layers
from deeplab.models.atrous import atrous_units
from deeplab.models.backbones import Features
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import Tensor

# One convolution a stride, as wide as MobileNetV2 at a depth multiplier of 0.1 where decoders and
# heads read it.
_FEATURES = (
    (24, "low_level"),
    (19, "low_level_8"),
    (58, "low_level_16"),
    (32, "high_level"),
)


def shallow_backbone(
    x: Tensor,
    *,
    output_stride: int,
    depth_multiplier: float,
    norm: BatchNormSettings,
    divisible_by: int | None = None,
) -> Features:
    """With the arguments of MobileNetV2; the multiplier is on the first width alone."""
    features: Features = {}
    rows = ((round(32 * depth_multiplier), ""), *_FEATURES)
    units = atrous_units([2] * len(rows), output_stride=output_stride)
    for index, ((width, key), unit) in enumerate(zip(rows, units, strict=True)):
        x = layers.conv_bn(
            x,
            width,
            3,
            stride=unit.stride,
            rate=unit.rate,
            activation=layers.relu6,
            norm=norm,
            initializer="glorot_uniform",
            name=f"backbone.conv_{index}" if index else "backbone.conv",
        )
        if key:
            features[key] = x
    return features


@contextlib.contextmanager
def shallow_mobilenet_v2() -> Iterator[None]:
    """The key "mobilenet_v2" builds the shallow backbone."""
    with pytest.MonkeyPatch.context() as patch:
        row = BACKBONES["mobilenet_v2"]._replace(build=shallow_backbone)
        patch.setitem(BACKBONES, "mobilenet_v2", row)
        yield
