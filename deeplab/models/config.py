"""`ModelConfig`: everything that decides which variables a network has and how they are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from deeplab import checks
from deeplab.errors import DeepLabError, unknown_name
from deeplab.models.aspp import GATES
from deeplab.models.backbones import BACKBONES, TAPS, Backbone
from deeplab.models.dense_prediction_cell import CELL_OUTPUT_STRIDES, Branch, check_branches
from deeplab.models.quantization import QuantConfig
from deeplab.models.resize import ALIGN_CORNERS, RESIZES

OUTPUT_STRIDES = (8, 16, 32)
DECODER_MERGES = ("concat", "sum")
PYRAMID_MERGES = ("max", "mean")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A DeepLab network as plain data; `build_model` makes the network of it.

    The defaults are DeepLabv3+ with the Xception of its paper. What one backbone alone can be told
    is in `backbone_options`.

    Attributes:
        backbone: a key of `BACKBONES`.
        num_classes: channels of the logits; None lets the data set decide, which training does
            before it builds anything.
        input_channels: channels of the images, at least 3, of which the first are R, G and B; None
            lets the data set decide, and is 3 without one.
        output_stride: input size over feature size, 8, 16 or 32. Strides and rates follow from
            it; the variables do not depend on it (DeepLabv3+ section 3.1), but in pnasnet.
        atrous_rates: rates of the atrous branches of ASPP at `output_stride`. None: 6, 12, 18 at
            16 and in proportion elsewhere. (): no atrous branch.
        multi_grid: factors on the rates of the last units of an Xception or a ResNet (DeepLabv3
            section 3.2.1), 3 of them, 2 for ResNet-18; None: ones.
        depth_multiplier: factor on the widths of a MobileNet; 1.0 for the other backbones.
        bounded_activation: whether activations of an Xception stay in [-6,6] and those of every
            head in [0,6], for 8-bit inference.
        backbone_options: what this backbone alone can be told; the row of the backbone names it.
        image_pooling: whether ASPP has the image-level branch.
        image_pooling_crop_size: height and width in pixels that the image-level branch averages
            over, less at the border where images are smaller; None: the whole image, whatever its
            size.
        image_pooling_stride: distances of these averages, vertical and horizontal, in cells of the
            feature map.
        image_pooling_gate: "sigmoid" or "hard_sigmoid" to multiply the result of ASPP by the
            image-level branch (squeeze-and-excite) instead of joining it; None to join it.
        aspp: whether there is an ASPP. Without it the logits are a sum of atrous convolutions of
            the feature, one a rate (DeepLabv2).
        aspp_channels: channels of each ASPP branch and of its projection.
        aspp_separable: whether the atrous convolutions are separable.
        aspp_projection: whether a 1x1 convolution and dropout follow the joined branches.
        dense_prediction_cell: rows (kernel, (vertical rate, horizontal rate), source) of the cell
            that stands in the place of ASPP; None: ASPP.
        decoder: whether a decoder refines the result with finer features. Without it the network
            is DeepLabv3. None: if the backbone has such features.
        decoder_strides: strides of the features that it reads, one stage each, coarse to fine.
        decoder_merge: "concat" as DeepLabv3+, or "sum" as the lite head of MobileNetV3.
        decoder_channels: channels of its convolutions (256, table 2); with "sum" also of the
            projected low-level feature.
        low_level_channels: channels that the low-level feature is projected to (48, table 1).
        decoder_separable: whether its 3x3 convolutions are separable.
        decoder_outputs_logits: whether the decoder gives the logits: `num_classes` channels, no
            batch norm, no activation, dense.
        logits_kernel_size: size of the last convolutions; other than 1 only without ASPP.
        image_pyramid: scales at which the network sees the image (DeepLab, arXiv 1412.7062 and
            1511.03339), merged at the logits.
        pyramid_merge: "max" or "mean" over the scales.
        resize: how everything behind the backbone is resized, and images in a pyramid:
            "align_corners" as in the original, or "half_pixel" as in networks of Hugging Face and
            keras-io. Inference over several scales and the loss follow it.
        dropout_rate: share of the ASPP output dropped in training (0.1 in the original).
        backbone_batch_norm_momentum: share of the old value that the moving statistics keep at
            each step; None: the original's of this backbone. The original's values need tens of
            thousands of steps; shorter runs set both (0.95 for hundreds, 0.99 for thousands).
        head_batch_norm_momentum: the same for ASPP and decoder; None: 0.9997.
        quantization: quantization-aware training of the network, which then computes as an 8-bit
            file will, in training and ever after; None: none.

    Raises:
        DeepLabError: for a wrong type, a value out of range, an unknown backbone, or values that
            contradict each other.
    """

    backbone: str = "xception_65"
    num_classes: int | None = None
    input_channels: int | None = None
    output_stride: int = 16
    atrous_rates: tuple[int, ...] | None = None
    multi_grid: tuple[int, ...] | None = None
    depth_multiplier: float = 1.0
    bounded_activation: bool = False
    backbone_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    image_pooling: bool = True
    image_pooling_crop_size: tuple[int, int] | None = None
    image_pooling_stride: tuple[int, int] = (1, 1)
    image_pooling_gate: str | None = None
    aspp: bool = True
    aspp_channels: int = 256
    aspp_separable: bool = True
    aspp_projection: bool = True
    dense_prediction_cell: tuple[Branch, ...] | None = None
    decoder: bool | None = None
    decoder_strides: tuple[int, ...] = (4,)
    decoder_merge: str = "concat"
    decoder_channels: int = 256
    low_level_channels: int = 48
    decoder_separable: bool = True
    decoder_outputs_logits: bool = False
    logits_kernel_size: int = 1
    image_pyramid: tuple[float, ...] = (1.0,)
    pyramid_merge: str = "max"
    resize: str = ALIGN_CORNERS
    dropout_rate: float = 0.1
    backbone_batch_norm_momentum: float | None = None
    head_batch_norm_momentum: float | None = None
    quantization: QuantConfig | None = None

    def __post_init__(self) -> None:
        """Checks every value."""
        checks.one_of("backbone", self.backbone, BACKBONES)
        if self.num_classes is not None:
            checks.integer("num_classes", self.num_classes, minimum=2)
        if self.input_channels is not None:
            checks.integer("input_channels", self.input_channels, minimum=3)
        self._check_backbone_options(BACKBONES[self.backbone])
        self._check_backbone(self.resolved_backbone)
        self._check_aspp()
        self._check_decoder(self.resolved_backbone)
        self._check_logits()
        for name in ("backbone_batch_norm_momentum", "head_batch_norm_momentum"):
            if getattr(self, name) is not None:
                checks.number(name, getattr(self, name), minimum=0, below=1)
        self._check_quantization()

    def _check_backbone(self, backbone: Backbone) -> None:
        checks.one_of_numbers("output_stride", self.output_stride, OUTPUT_STRIDES)
        if self.output_stride not in backbone.output_strides:
            raise DeepLabError(
                f"{self._backbone_name} has no output_stride {self.output_stride}; choices: "
                f"{', '.join(map(str, backbone.output_strides))}"
            )
        checks.number("depth_multiplier", self.depth_multiplier, above=0)
        if self.depth_multiplier != 1 and not backbone.has_depth_multiplier:
            raise DeepLabError(
                f"{self.backbone} has no depth_multiplier; {self.depth_multiplier} was given, "
                f"those that have one: {', '.join(_backbones_with_multiplier())}"
            )
        if self.multi_grid is not None:
            grid = checks.integers("multi_grid", self.multi_grid, minimum=1)
            if len(grid) != backbone.multi_grid_units:
                raise DeepLabError(
                    f"multi_grid of {self.backbone} has {backbone.multi_grid_units} numbers, "
                    f"not {len(grid)}: {list(grid)}"
                )
            object.__setattr__(self, "multi_grid", grid)
        checks.flag("bounded_activation", self.bounded_activation)

    def _check_backbone_options(self, backbone: Backbone) -> None:
        if not isinstance(self.backbone_options, Mapping):
            raise DeepLabError(
                f"backbone_options must be names with values, not {self.backbone_options!r}"
            )
        for name, value in self.backbone_options.items():
            if name not in backbone.options:
                raise unknown_name(f"option of {self.backbone}", name, backbone.options)
            backbone.options[name](name, value)
        object.__setattr__(self, "backbone_options", dict(self.backbone_options))

    def _check_aspp(self) -> None:
        if self.atrous_rates is not None:
            rates = checks.integers("atrous_rates", self.atrous_rates, minimum=1)
            object.__setattr__(self, "atrous_rates", rates)
        for name in ("image_pooling", "aspp", "aspp_separable", "aspp_projection"):
            checks.flag(name, getattr(self, name))
        for name in ("image_pooling_crop_size", "image_pooling_stride"):
            if getattr(self, name) is not None:
                pair = checks.integers(name, getattr(self, name), minimum=1)
                if len(pair) != 2:
                    raise DeepLabError(f"{name} must be height and width, not {list(pair)}")
                object.__setattr__(self, name, pair)
        checks.integer("aspp_channels", self.aspp_channels, minimum=1)
        checks.number("dropout_rate", self.dropout_rate, minimum=0, below=1)
        if self.image_pooling_gate is not None:
            checks.one_of("image_pooling_gate", self.image_pooling_gate, GATES)
            if not self.image_pooling:
                raise DeepLabError("image_pooling_gate needs image_pooling, which is False")
            if self.resolved_atrous_rates and not self.aspp_projection:
                raise DeepLabError(
                    "image_pooling_gate needs aspp_projection, or atrous_rates=(): the gate has "
                    f"aspp_channels = {self.aspp_channels}, the joined branches have more"
                )
        if self.dense_prediction_cell is not None:
            cell = check_branches("dense_prediction_cell", self.dense_prediction_cell)
            object.__setattr__(self, "dense_prediction_cell", cell)
            if self.output_stride not in CELL_OUTPUT_STRIDES:
                raise DeepLabError(
                    f"a dense_prediction_cell has no output_stride {self.output_stride}; choices: "
                    f"{', '.join(map(str, CELL_OUTPUT_STRIDES))}"
                )
            if not self.aspp:
                raise DeepLabError("dense_prediction_cell stands in the place of ASPP: aspp=False")

    def _check_decoder(self, backbone: Backbone) -> None:
        if self.decoder is not None:
            checks.flag("decoder", self.decoder)
        strides = checks.integers("decoder_strides", self.decoder_strides, minimum=1)
        for stride in strides:
            checks.one_of_numbers("decoder_strides", stride, TAPS)
        if not strides or list(strides) != sorted(set(strides), reverse=True):
            raise DeepLabError(f"decoder_strides must be falling numbers, not {list(strides)}")
        object.__setattr__(self, "decoder_strides", strides)
        checks.one_of("decoder_merge", self.decoder_merge, DECODER_MERGES)
        checks.integer("decoder_channels", self.decoder_channels, minimum=1)
        checks.integer("low_level_channels", self.low_level_channels, minimum=1)
        checks.flag("decoder_separable", self.decoder_separable)
        checks.flag("decoder_outputs_logits", self.decoder_outputs_logits)
        if missing := [
            s for s in self.resolved_decoder_strides if s not in backbone.decoder_strides
        ]:
            choices = ", ".join(map(str, backbone.decoder_strides))
            raise DeepLabError(
                f"{self._backbone_name} has no feature for a decoder at stride {missing[0]}; "
                f"{f'choices: {choices}' if choices else 'use decoder=False'}"
            )
        if self.decoder_outputs_logits and not self.resolved_decoder_strides:
            raise DeepLabError("decoder_outputs_logits needs a decoder")

    def _check_logits(self) -> None:
        checks.integer("logits_kernel_size", self.logits_kernel_size, minimum=1)
        if self.logits_kernel_size != 1 and (self.aspp or not self.resolved_atrous_rates):
            raise DeepLabError(
                f"logits_kernel_size must be 1, not {self.logits_kernel_size}, with ASPP or "
                "without atrous_rates"
            )
        if not isinstance(self.image_pyramid, tuple | list) or not self.image_pyramid:
            raise DeepLabError(
                f"image_pyramid must be a list of scales, not {self.image_pyramid!r}"
            )
        scales = tuple(checks.number("image_pyramid", s, above=0) for s in self.image_pyramid)
        if len(set(scales)) < len(scales):
            raise DeepLabError(f"image_pyramid has a scale twice: {list(scales)}")
        object.__setattr__(self, "image_pyramid", scales)
        checks.one_of("pyramid_merge", self.pyramid_merge, PYRAMID_MERGES)
        checks.one_of("resize", self.resize, RESIZES)

    def _check_quantization(self) -> None:
        if not isinstance(self.quantization, QuantConfig | None):
            raise DeepLabError(f"quantization must be a QuantConfig, not {self.quantization!r}")
        if self.quantization is not None and self.image_pyramid != (1.0,):
            raise DeepLabError("quantization does not work with an image_pyramid")

    def at_output_stride(self, output_stride: int) -> Self:
        """The same variables at another output stride; explicit rates scale with it.

        Raises:
            DeepLabError: if an explicit rate would not be a whole number there, or the backbone
                has other variables there.
        """
        checks.one_of_numbers("output_stride", output_stride, OUTPUT_STRIDES)
        backbone = self.resolved_backbone
        if output_stride != self.output_stride and backbone.variables_follow_output_stride:
            raise DeepLabError(
                f"{self.backbone} has other variables at output stride {output_stride} than at "
                f"{self.output_stride}"
            )
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
    def resolved_backbone(self) -> Backbone:
        """The row of the backbone, as its options make it."""
        return BACKBONES[self.backbone].with_options(self.backbone_options)

    @property
    def _backbone_name(self) -> str:
        """The backbone with its options, for messages."""
        options = [f"{name}={value}" for name, value in self.backbone_options.items()]
        return f"{self.backbone} with {', '.join(options)}" if options else self.backbone

    @property
    def resolved_input_channels(self) -> int:
        """The channels of the images, after defaults."""
        return 3 if self.input_channels is None else self.input_channels

    @property
    def pad_value(self) -> tuple[float, ...]:
        """What images are padded with, 0..255, one value per channel."""
        return self.resolved_backbone.pad_values(self.resolved_input_channels)

    @property
    def resolved_atrous_rates(self) -> tuple[int, ...]:
        """The rates of the atrous branches, after defaults."""
        if self.atrous_rates is not None:
            return self.atrous_rates
        return tuple(rate * 16 // self.output_stride for rate in (6, 12, 18))

    @property
    def resolved_decoder_strides(self) -> tuple[int, ...]:
        """The strides of the stages of the decoder; () without a decoder."""
        decoder = self.decoder
        if decoder is None:
            decoder = bool(self.resolved_backbone.decoder_strides)
        return self.decoder_strides if decoder else ()

    @property
    def backbone_settings(self) -> dict[str, Any]:
        """The arguments that only some backbones take."""
        settings = {name: getattr(self, name) for name in self.resolved_backbone.settings}
        return {**settings, **self.backbone_options}

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
        quantization = values.get("quantization")
        if quantization is not None:
            values = {**values, "quantization": QuantConfig(**quantization)}
        return cls(**values)


def _backbones_with_multiplier() -> list[str]:
    return [name for name, backbone in BACKBONES.items() if backbone.has_depth_multiplier]
