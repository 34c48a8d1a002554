"""What a backbone is: a builder of features, and the facts that go with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras

from deeplab.models.batch_norm import BatchNormSettings

# "low_level": [B,H/4,W/4,C], "high_level": [B,H/output_stride,W/output_stride,D].
Features = dict[str, keras.KerasTensor]


class Backbone(NamedTuple):
    """A row of `BACKBONES`.

    Attributes:
        build: (x, *, output_stride, depth_multiplier, norm) -> features; x is a normalised image
            [B,H,W,3] of any size, the name of every layer begins with "backbone.".
        norm: batch norm of the original for this backbone.
        scale: with `offset`, normalisation of an image 0..255: scale * image + offset.
        offset: see `scale`.
        pad_value: colour (0..255, RGB) that images are padded with before they reach the network.
        has_depth_multiplier: whether widths can be scaled.
    """

    build: Callable[..., Features]
    norm: BatchNormSettings
    scale: float = 2.0 / 255.0
    offset: float = -1.0
    pad_value: tuple[float, float, float] = (127.5, 127.5, 127.5)
    has_depth_multiplier: bool = False
