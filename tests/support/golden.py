"""Reads the stored outputs of the original code, for comparison with ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import check_golden
import numpy as np
from check_golden import Golden

import deeplab
from deeplab.interop.tf1.cell import read_cell


def load_golden(reference: Path, name: str) -> Golden:
    """The stored configuration `name` of the reference data."""
    return check_golden.load_golden(reference / "golden" / f"{name}.json")


def weight_rule(folder: Path) -> ModuleType:
    """The module that computes the value of every variable from its name and shape."""
    return check_golden.weight_rule(folder / "weights.py")


def input_images(golden: Golden, reference: Path) -> np.ndarray:
    """The input of a configuration, float32 [1,H,W,3], 0..255."""
    rule = weight_rule(golden.folder)
    return check_golden.input_images(golden, rule, reference / "data" / "photos")


def model_settings(flags: Sequence[str], folder: Path) -> dict[str, Any]:
    """The settings of our model for a command line of the original.

    Args:
        flags: one word a flag, as stored.
        folder: what relative paths in flags are relative to.
    """
    given = _parsed(flags)

    def last(name: str, default: str) -> str:
        return given.get(name, [default])[-1]

    def numbers(name: str) -> tuple[int, ...] | None:
        texts = [text for value in given.get(name, ()) for text in value.split(",")]
        return tuple(map(int, texts)) or None

    def yes(name: str, default: bool) -> bool:
        return last(name, str(default)).lower() in ("true", "1")

    gate = None
    if yes("aspp_with_squeeze_and_excitation", False):
        gate = "hard_sigmoid" if yes("image_se_uses_qsigmoid", False) else "sigmoid"
    options: dict[str, Any] = {}
    if "divisible_by" in given:
        options["divisible_by"] = int(last("divisible_by", ""))
    if yes("nas_remove_os32_stride", False):
        options["remove_stride_32"] = True
    cell = last("dense_prediction_cell_json", "")
    variant = last("model_variant", "mobilenet_v2")
    return {
        "backbone": re.sub("_v1|_seg|nas_", "", variant),
        "num_classes": int(last("num_classes", "21")),
        "output_stride": int(last("output_stride", "16")),
        "atrous_rates": numbers("atrous_rates") or (),
        "multi_grid": numbers("multi_grid"),
        "depth_multiplier": float(last("depth_multiplier", "1")),
        "bounded_activation": yes("use_bounded_activation", False),
        "backbone_options": options,
        "image_pooling": yes("add_image_level_feature", True),
        "image_pooling_crop_size": numbers("image_pooling_crop_size"),
        "image_pooling_stride": numbers("image_pooling_stride") or (1, 1),
        "image_pooling_gate": gate,
        "aspp": yes("aspp_with_batch_norm", True),
        "aspp_channels": int(last("aspp_convs_filters", "256")),
        "aspp_separable": yes("aspp_with_separable_conv", True),
        "aspp_projection": yes("aspp_with_concat_projection", True),
        "dense_prediction_cell": read_cell(str(folder / cell)) if cell else None,
        "decoder": "decoder_output_stride" in given,
        "decoder_strides": numbers("decoder_output_stride") or (4,),
        "decoder_merge": "sum" if yes("decoder_use_sum_merge", False) else "concat",
        "decoder_channels": int(last("decoder_filters", "256")),
        "decoder_separable": yes("decoder_use_separable_conv", True),
        "decoder_outputs_logits": yes("decoder_output_is_logits", False),
        "logits_kernel_size": int(last("logits_kernel_size", "1")),
        "image_pyramid": tuple(map(float, given.get("image_pyramid", ["1"]))),
        "pyramid_merge": "mean" if last("merge_method", "max") == "avg" else "max",
    }


def _parsed(flags: Sequence[str]) -> dict[str, list[str]]:
    """The values of each flag; "--x" is true and "--nox" false."""
    given: dict[str, list[str]] = {}
    for flag in flags:
        name, equals, value = flag.removeprefix("--").partition("=")
        if not equals and name.startswith("no"):
            name, value = name[2:], "false"
        given.setdefault(name, []).append(value if equals else value or "true")
    return given


def image_size(flags: Sequence[str]) -> tuple[int, int]:
    """Height and width of the images of a command line."""
    height, width = _parsed(flags)["crop_size"]
    return int(height), int(width)


def eval_copies(flags: Sequence[str]) -> list[float]:
    """The scale of every copy of the image that the evaluation of a command line looks at."""
    given = _parsed(flags)
    scales = [float(scale) for scale in given.get("inference_scales", ["1"])]
    return scales * (2 if "add_flipped_images" in given else 1)


def golden_model(golden: Golden) -> deeplab.models.DeepLabModel:
    """Our model of a configuration, with fresh weights."""
    settings = model_settings(golden.facts["flags"], golden.folder)
    return deeplab.deeplab_v3_plus(**settings)
