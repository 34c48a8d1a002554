"""From the original's flags to a `ModelConfig`.

A flag that is not given has the default of the original's programs, see `flags.DEFAULTS`.
Source: common.py and export_model.py of research/deeplab.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deeplab.errors import DeepLabError, unknown_name
from deeplab.interop.tf1.cell import read_cell
from deeplab.interop.tf1.flags import DEFAULTS, PROTOCOL_FLAGS, parse_flags
from deeplab.interop.tf1.names import ORIGINAL_BACKBONES
from deeplab.models import BACKBONES, ModelConfig
from deeplab.paths import expand_home

# The original's data sets -> classes of its models.
_DATASETS = {"pascal_voc_seg": 21, "cityscapes": 19, "ade20k": 151}

_MERGES = {"max": "max", "avg": "mean"}


def _variant(backbone: str) -> str:
    """Our key of a backbone -> its `model_variant`."""
    if backbone.startswith("resnet_"):
        return backbone.replace("resnet_", "resnet_v1_")
    if backbone.startswith("mobilenet_v3_"):
        return f"{backbone}_seg"
    return f"nas_{backbone}" if backbone.endswith("nasnet") else backbone


# model_variant -> key of `BACKBONES`.
VARIANTS: dict[str, str] = {_variant(backbone): backbone for backbone in ORIGINAL_BACKBONES}


class NetworkFlags(NamedTuple):
    """Flags that are ready to be made a network of.

    Attributes:
        network: those that describe the network, by name. `dense_prediction_cell_json` is the
            content of the file, `num_classes` may come from `dataset`.
        protocol: those that say how predictions are made.
        without_effect: names of the others.
    """

    network: dict[str, Any]
    protocol: dict[str, Any]
    without_effect: tuple[str, ...]


def read_network_flags(flags: str | Sequence[str], base_dir: str | Path = ".") -> NetworkFlags:
    """Reads a command line of the original.

    Args:
        flags: the command line, or its words.
        base_dir: what relative paths in it are relative to.

    Raises:
        DeepLabError: for a flag or value that is unknown or that we cannot honour.
    """
    parsed = parse_flags(flags)
    values, without_effect = dict(parsed.values), parsed.without_effect
    protocol = {name: values.pop(name) for name in PROTOCOL_FLAGS if name in values}
    if "dataset" in values:
        classes = _DATASETS.get(values.pop("dataset"))
        without_effect += ("dataset",) if classes is None or "num_classes" in values else ()
        if classes is not None:
            values.setdefault("num_classes", classes)
    for name, names in (("model_variant", VARIANTS), ("merge_method", _MERGES)):
        if name in values and values[name] not in names:
            raise unknown_name(f"value of the original flag --{name}:", values[name], names)
    for name in ("crop_size", "image_pooling_crop_size", "image_pooling_stride"):
        if len(values.get(name, ())) not in (0, 2):
            raise DeepLabError(
                f"original flag --{name} is two numbers, height and width, not "
                f"{flag_text(values[name])}"
            )
    if values.get("nas_use_classification_head"):
        raise DeepLabError("original flag --nas_use_classification_head cannot be honoured")
    if values.get("quantize_delay_step", -1) >= 0:
        raise DeepLabError(
            f"original flag --quantize_delay_step={values['quantize_delay_step']} cannot be "
            "honoured: there is no quantized training here, only -1"
        )
    if path := values.get("dense_prediction_cell_json"):
        values["dense_prediction_cell_json"] = read_cell(str(Path(base_dir, expand_home(path))))
    return NetworkFlags(values, protocol, without_effect)


def flag_text(value: Any) -> str:
    """A value as one would type it; of a dense prediction cell how large it is."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return f"({len(value)} branches)"
    if isinstance(value, tuple):
        return ",".join(map(flag_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def network_config(flags: Mapping[str, Any]) -> ModelConfig:
    """The network that flags describe.

    Args:
        flags: `NetworkFlags.network`; what is missing has its default.

    Raises:
        DeepLabError: if they contradict each other, or the backbone.
    """
    values = {**DEFAULTS, **flags}
    backbone = VARIANTS[values["model_variant"]]
    head = _aspp if values["aspp_with_batch_norm"] else _without_aspp
    if values["dense_prediction_cell_json"]:
        head = _dense_prediction_cell
    return ModelConfig(
        backbone=backbone,
        num_classes=values["num_classes"],
        output_stride=values["output_stride"],
        multi_grid=values["multi_grid"] or None,
        depth_multiplier=values["depth_multiplier"],
        bounded_activation=values["use_bounded_activation"],
        backbone_options=_backbone_options(backbone, values),
        logits_kernel_size=values["logits_kernel_size"],
        image_pyramid=values["image_pyramid"] or (1.0,),
        pyramid_merge=_MERGES[values["merge_method"]],
        **head(values),
        **_decoder(values, given_filters="decoder_filters" in flags),
    )


def _backbone_options(backbone: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the family reads of the flags that are meant for one; the others never see them."""
    flags = {
        "divisible_by": "divisible_by",
        "filters": "nas_stem_output_num_conv_filters",
        "remove_stride_32": "nas_remove_os32_stride",
    }
    return {
        option: values[flag]
        for option, flag in flags.items()
        if option in BACKBONES[backbone].options and values[flag] != DEFAULTS[flag]
    }


def _aspp(values: Mapping[str, Any]) -> dict[str, Any]:
    pooling = values["add_image_level_feature"]
    gate = None
    if pooling and values["aspp_with_squeeze_and_excitation"]:
        gate = "hard_sigmoid" if values["image_se_uses_qsigmoid"] else "sigmoid"
    return {
        "atrous_rates": values["atrous_rates"],
        "aspp_channels": values["aspp_convs_filters"],
        "aspp_separable": values["aspp_with_separable_conv"],
        "aspp_projection": values["aspp_with_concat_projection"],
        "image_pooling": pooling,
        # Not crop_size: that is the size of the input, at every scale, so the whole image.
        "image_pooling_crop_size": values["image_pooling_crop_size"] or None,
        "image_pooling_stride": values["image_pooling_stride"] or (1, 1),
        "image_pooling_gate": gate,
    }


def _without_aspp(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"aspp": False, "image_pooling": False, "atrous_rates": values["atrous_rates"]}


def _dense_prediction_cell(values: Mapping[str, Any]) -> dict[str, Any]:
    # It has neither rates nor an image-level branch nor a width of its own.
    return {
        "dense_prediction_cell": values["dense_prediction_cell_json"],
        "aspp": values["aspp_with_batch_norm"],
        "image_pooling": False,
        "atrous_rates": (),
    }


def _decoder(values: Mapping[str, Any], *, given_filters: bool) -> dict[str, Any]:
    strides = values["decoder_output_stride"]
    if not strides:
        return {"decoder": False}
    fields = {
        "decoder": True,
        "decoder_strides": strides,
        "decoder_merge": "sum" if values["decoder_use_sum_merge"] else "concat",
    }
    if not values["decoder_output_is_logits"]:
        return {
            **fields,
            "decoder_channels": values["decoder_filters"],
            "decoder_separable": values["decoder_use_separable_conv"],
        }
    if given_filters and values["decoder_filters"] != values["num_classes"]:
        raise DeepLabError(
            f"original flags --decoder_filters={values['decoder_filters']} and "
            f"--num_classes={values['num_classes']} contradict each other: with "
            "--decoder_output_is_logits the decoder gives one channel a class"
        )
    return {**fields, "decoder_outputs_logits": True}
