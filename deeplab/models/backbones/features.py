"""What a backbone is: a builder of features, and the facts that go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras

from deeplab.models.batch_norm import BatchNormSettings

# "high_level": [B,H/output_stride,W/output_stride,D], and the taps for decoders: "low_level":
# [B,H/4,W/4,C], "low_level_8" and "low_level_16" at strides 8 and 16. Where the output stride is
# smaller than that of a tap, the tap has the output stride.
Features = dict[str, keras.KerasTensor]

# Stride of a decoder -> key of the feature that it reads.
TAPS = {4: "low_level", 8: "low_level_8", 16: "low_level_16"}


class Backbone(NamedTuple):
    """A row of `BACKBONES`.

    Attributes:
        build: (x, *, output_stride, norm, and those named in `settings` and `options`) ->
            features; x is a normalized image [B,H,W,3] of any size, the name of every layer begins
            with "backbone.".
        norm: batch norm of the original for this backbone.
        scale: with `offset`, normalization of an image 0..255: scale * image + offset.
        offset: see `scale`; one number, or one for each of R, G, B.
        pad_value: color (0..255, RGB) that images are padded with before they reach the network.
        decoder_strides: strides of the features that decoders can read.
        output_strides: those that it can be built at.
        settings: fields of `ModelConfig` that `build` takes.
        options: what this backbone alone can be told, `ModelConfig.backbone_options`: the check of
            each value, (name, value) -> value; the defaults are those of `build`.
        changes: option that is True or False -> the fields of this row that are others where it is
            True.
        multi_grid_units: how many rates `ModelConfig.multi_grid` has; 0 where it means nothing.
        decays_depthwise: whether the original puts its depthwise kernels under weight decay.
        variables_follow_output_stride: whether another output stride needs other variables.
    """

    build: Callable[..., Features]
    norm: BatchNormSettings
    scale: float = 2.0 / 255.0
    offset: float | tuple[float, float, float] = -1.0
    pad_value: tuple[float, float, float] = (127.5, 127.5, 127.5)
    decoder_strides: tuple[int, ...] = tuple(TAPS)
    output_strides: tuple[int, ...] = (8, 16, 32)
    settings: tuple[str, ...] = ()
    options: Mapping[str, Callable[[str, Any], Any]] = {}
    changes: Mapping[str, Mapping[str, Any]] = {}
    multi_grid_units: int = 0
    decays_depthwise: bool = False
    variables_follow_output_stride: bool = False

    def with_options(self, options: Mapping[str, Any]) -> Backbone:
        """The row of this backbone with options, which have been checked."""
        changes = [fields for option, fields in self.changes.items() if options.get(option)]
        return self._replace(
            **{name: value for fields in changes for name, value in fields.items()}
        )

    def offsets(self, channels: int) -> tuple[float, ...]:
        """The offset of each channel; nothing is subtracted from those beside R, G and B.

        That holds where colors have a mean of their own. One number is the same for all channels.
        """
        if isinstance(self.offset, tuple):
            return (*self.offset, *(0.0,) * (channels - 3))
        return (self.offset,) * channels

    def pad_values(self, channels: int) -> tuple[float, ...]:
        """`pad_value`, and for further channels the value that normalization turns into 0."""
        return (*self.pad_value, *(-offset / self.scale for offset in self.offsets(channels)[3:]))

    @property
    def has_depth_multiplier(self) -> bool:
        """Whether widths can be scaled."""
        return "depth_multiplier" in self.settings

    @property
    def normalization(self) -> str:
        """What happens to an image first, as a formula."""
        offsets = self.offset if isinstance(self.offset, tuple) else (self.offset,)
        offset = ", ".join(f"{value:.10g}" for value in offsets)
        return f"{self.scale:.10g} * image + {f'({offset})' if len(offsets) > 1 else offset}"
