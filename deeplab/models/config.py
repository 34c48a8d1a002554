"""`ModelConfig`: everything that decides which variables a network has and how they are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from deeplab import checks
from deeplab.errors import DeepLabError
from deeplab.models.backbones import BACKBONES

OUTPUT_STRIDES = (8, 16, 32)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A DeepLabv3+ network as plain data; `build_model` makes the network of it.

    Attributes:
        backbone: a key of `BACKBONES`.
        num_classes: channels of the logits; None lets the data set decide, which training does
            before it builds anything.
        output_stride: input size over feature size, 8, 16 or 32. Strides and rates follow from
            it; the variables do not depend on it (DeepLabv3+ section 3.1).
        atrous_rates: rates of the atrous branches of ASPP at `output_stride`. None: 6, 12, 18 at
            16 and in proportion elsewhere. (): no atrous branch.
        image_pooling: whether ASPP has the image-level branch.
        decoder: whether the decoder of DeepLabv3+ refines the result at stride 4. Without it the
            network is DeepLabv3.
        depth_multiplier: factor on the widths of a MobileNet; 1.0 for the other backbones.
        aspp_channels: channels of each ASPP branch and of its projection.
        low_level_channels: channels that the low-level feature is projected to (48, table 1).
        decoder_channels: channels of the two separable convolutions (256, table 2).
        dropout_rate: share of the ASPP output dropped in training (0.1 in the original).
        backbone_batch_norm_momentum: share of the old value that the moving statistics keep at
            each step; None: the original's of this backbone. The original's values need tens of
            thousands of steps; shorter runs set both (0.95 for hundreds, 0.99 for thousands).
        head_batch_norm_momentum: the same for ASPP and decoder; None: 0.9997.

    Raises:
        DeepLabError: for a wrong type, a value out of range or an unknown backbone.
    """

    backbone: str = "xception_65"
    num_classes: int | None = None
    output_stride: int = 16
    atrous_rates: tuple[int, ...] | None = None
    image_pooling: bool = True
    decoder: bool = True
    depth_multiplier: float = 1.0
    aspp_channels: int = 256
    low_level_channels: int = 48
    decoder_channels: int = 256
    dropout_rate: float = 0.1
    backbone_batch_norm_momentum: float | None = None
    head_batch_norm_momentum: float | None = None

    def __post_init__(self) -> None:
        """Checks every value."""
        checks.one_of("backbone", self.backbone, BACKBONES)
        if self.num_classes is not None:
            checks.integer("num_classes", self.num_classes, minimum=2)
        checks.one_of_numbers("output_stride", self.output_stride, OUTPUT_STRIDES)
        if self.atrous_rates is not None:
            rates = checks.integers("atrous_rates", self.atrous_rates, minimum=1)
            object.__setattr__(self, "atrous_rates", rates)
        checks.flag("image_pooling", self.image_pooling)
        checks.flag("decoder", self.decoder)
        checks.number("depth_multiplier", self.depth_multiplier, above=0)
        if self.depth_multiplier != 1 and not BACKBONES[self.backbone].has_depth_multiplier:
            raise DeepLabError(
                f"{self.backbone} has no depth_multiplier; {self.depth_multiplier} was given, "
                f"those that have one: {', '.join(_backbones_with_multiplier())}"
            )
        checks.integer("aspp_channels", self.aspp_channels, minimum=1)
        checks.integer("low_level_channels", self.low_level_channels, minimum=1)
        checks.integer("decoder_channels", self.decoder_channels, minimum=1)
        checks.number("dropout_rate", self.dropout_rate, minimum=0, below=1)
        for name in ("backbone_batch_norm_momentum", "head_batch_norm_momentum"):
            if getattr(self, name) is not None:
                checks.number(name, getattr(self, name), minimum=0, below=1)

    def at_output_stride(self, output_stride: int) -> Self:
        """The same variables at another output stride; explicit rates scale with it.

        Raises:
            DeepLabError: if an explicit rate would not be a whole number there.
        """
        checks.one_of_numbers("output_stride", output_stride, OUTPUT_STRIDES)
        rates = self.atrous_rates
        if rates is not None:
            scaled = [rate * self.output_stride / output_stride for rate in rates]
            if any(rate != int(rate) for rate in scaled):
                raise DeepLabError(
                    f"atrous_rates {rates} of output stride {self.output_stride} are no whole "
                    f"numbers at output stride {output_stride}"
                )
            rates = tuple(int(rate) for rate in scaled)
        return dataclasses.replace(self, output_stride=output_stride, atrous_rates=rates)

    @property
    def resolved_atrous_rates(self) -> tuple[int, ...]:
        """The rates of the atrous branches, whoever decided them."""
        if self.atrous_rates is not None:
            return self.atrous_rates
        return tuple(rate * 16 // self.output_stride for rate in (6, 12, 18))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`, also after a trip through JSON.

        Raises:
            DeepLabError: for a field that this version does not know.
        """
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise DeepLabError(f"unknown model settings {', '.join(unknown)}")
        return cls(**values)


def _backbones_with_multiplier() -> list[str]:
    return [name for name, backbone in BACKBONES.items() if backbone.has_depth_multiplier]
