"""`MobileNetV2ForSemanticSegmentation` of Hugging Face's transformers.

It is the original's MobileNetV2 without decoder and without atrous branches under other names. It
differs in one point: its logits are resized with half-pixel centers, the original's corner to
corner.

Source of names and fields: transformers/models/mobilenet_v2, version 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deeplab.errors import DeepLabError
from deeplab.interop.hub import layout
from deeplab.interop.hub.files import HubFiles, open_files
from deeplab.interop.loading import Found, Parts, Request, Stored
from deeplab.interop.report import list_of
from deeplab.interop.widths import depth_multiplier, nominal_widths
from deeplab.models import DeepLabModel, ModelConfig, variables_by_path

ARCHITECTURES = ("MobileNetV2ForSemanticSegmentation",)

_HEAD = "segmentation_head"
_BACKBONE = "mobilenet_v2"
# Behind the backbone, in the file, and used by no segmentation.
UNUSED = f"{_BACKBONE}.conv_1x1"
_HEAD_EPSILON = 1e-5

# Our path of a layer -> its name there.
_RULES = (
    (r"^backbone/conv$", f"{_BACKBONE}.conv_stem.first_conv"),
    (r"^backbone/expanded_conv/depthwise$", f"{_BACKBONE}.conv_stem.conv_3x3"),
    (r"^backbone/expanded_conv/project$", f"{_BACKBONE}.conv_stem.reduce_1x1"),
    (r"^aspp/image_pooling$", f"{_HEAD}.conv_pool"),
    (r"^aspp/conv0$", f"{_HEAD}.conv_aspp"),
    (r"^aspp/projection$", f"{_HEAD}.conv_projection"),
    (r"^logits$", f"{_HEAD}.classifier"),
)
_LAYER = re.compile(r"^backbone/expanded_conv_(\d+)/(expand|depthwise|project)$")
_PARTS_OF_LAYER = {"expand": "expand_1x1", "depthwise": "conv_3x3", "project": "reduce_1x1"}

# Fields of config.json that a network here can have one value of -> that value.
FIXED: Mapping[str, Any] = {
    "expand_ratio": 6,
    "first_layer_is_expansion": True,
    "hidden_act": "relu6",
    "layer_norm_eps": 0.001,
    "min_depth": 8,
    "num_channels": 3,
    "tf_padding": True,
}
# The same of preprocessor_config.json, but for sizes.
FIXED_PREPROCESSING: Mapping[str, Any] = {
    "do_normalize": True,
    "do_rescale": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "rescale_factor": 1 / 255,
}


def original_name(path: str) -> str:
    """The name of a variable there, by our path of it."""
    layer, _, leaf = path.rpartition("/")
    kind = "convolution"
    if layer.endswith("/batch_norm"):
        layer, kind = layer.removesuffix("/batch_norm"), "normalization"
    if match := _LAYER.match(layer):
        number, part = int(match.group(1)) - 1, _PARTS_OF_LAYER[match.group(2)]
        return f"{_BACKBONE}.layer.{number}.{part}.{kind}.{layout.LEAVES[leaf]}"
    for pattern, replacement in _RULES:
        if re.match(pattern, layer):
            return f"{replacement}.{kind}.{layout.LEAVES[leaf]}"
    raise AssertionError(f"{path} has no name in transformers")


def epsilon(name: str) -> float:
    """The epsilon of the batch norm that a tensor belongs to."""
    return _HEAD_EPSILON if name.startswith(f"{_HEAD}.") else float(FIXED["layer_norm_eps"])


def read(request: Request) -> Found:
    """The network in a folder or a file of Hugging Face.

    Args:
        request: its path is a folder of the hub, or a file of tensors.

    Raises:
        DeepLabError: if it cannot be read, or config.json says another network than we can build.
    """
    files = open_files(request.path)
    values = files.config or {}
    _check(files, values)
    stored = layout.stored(
        files.path,
        files.tensors,
        is_depthwise=lambda name: ".conv_3x3.convolution." in name,
        epsilon=epsilon,
    )
    lines = (*_preprocessing(files), *layout.conversion_lines(files.tensors))
    config = request.config
    if config is None:
        config = _config(stored, values, request)
        lines = (*_config_lines(config, files), *lines)

    def parts(model: DeepLabModel) -> Parts:
        names = {path: original_name(path) for path in variables_by_path(model)}
        fresh = {name for path, name in names.items() if request.leaves_fresh(path)}
        return Parts(
            names=names,
            fresh=fresh.__contains__,
            ignored=lambda name: (
                name.startswith(f"{UNUSED}.")
                or layout.is_counter(name)
                or (request.backbone_only and name.startswith(f"{_HEAD}."))
            ),
        )

    return Found(
        config,
        lines,
        stored,
        parts,
        class_names=_class_names(values, config),
        files=files.read,
    )


def _check(files: HubFiles, values: Mapping[str, Any]) -> None:
    """Raises a `DeepLabError` for fields that say another network, or other images."""
    found = values.get("architectures") or [ARCHITECTURES[0]]
    if not set(found) & set(ARCHITECTURES):
        raise DeepLabError(
            f"{files.path}: config.json says architecture {', '.join(map(str, found))}; of Hugging "
            f"Face are read {', '.join(ARCHITECTURES)}"
        )
    for file, fields, fixed in (
        ("config.json", values, FIXED),
        ("preprocessor_config.json", files.preprocessor or {}, FIXED_PREPROCESSING),
    ):
        for field, value in fixed.items():
            if fields.get(field, value) != value:
                raise DeepLabError(
                    f"{files.path}: {file} has {field} {fields[field]!r}; a network here has "
                    f"{value!r}"
                )


def _config(stored: Stored, values: Mapping[str, Any], request: Request) -> ModelConfig:
    """The network of the tensors and of config.json; what that leaves out has its default there."""
    ours = {path: original_name(path) for path in nominal_widths("mobilenet_v2")}
    last = original_name("logits/bias")
    if missing := [name for name in (*ours.values(), last) if name not in stored.shapes]:
        raise DeepLabError(f"{stored.path} is no {ARCHITECTURES[0]}: it lacks {list_of(missing)}")
    widths = {path: stored.shapes[name][-1] for path, name in ours.items()}
    divisor = values.get("depth_divisible_by", 8)
    scaled = depth_multiplier(
        "mobilenet_v2", widths, multiplier=values.get("depth_multiplier"), divisor=divisor
    )
    if scaled is None:
        raise DeepLabError(
            f"{stored.path}: the widths {', '.join(map(str, widths.values()))} are not those of "
            f"depth_multiplier {values.get('depth_multiplier')}, depth_divisible_by {divisor}"
        )
    # The published network has 8. A config.json names only what is not the default of the class.
    stride = values.get("output_stride", 32) if values else 8
    return ModelConfig(
        "mobilenet_v2",
        num_classes=request.fresh_classes or stored.shapes[last][0],
        output_stride=stride,
        depth_multiplier=scaled[0],
        backbone_options={} if scaled[0] == 1 else {"divisible_by": divisor},
        decoder=False,
        atrous_rates=(),
        aspp_channels=stored.shapes[original_name("aspp/conv0/kernel")][-1],
        resize="half_pixel",
    )


def _config_lines(config: ModelConfig, files: HubFiles) -> Iterator[str]:
    yield (
        f"found {ARCHITECTURES[0]}: mobilenet_v2 with depth multiplier "
        f"{config.depth_multiplier:g}, no decoder, no atrous branches, resize half_pixel"
    )
    if files.config is None:
        yield (
            f"assumed output stride {config.output_stride}, as published: there is no config.json"
        )


def _preprocessing(files: HubFiles) -> Iterator[str]:
    """What its images go through there, and here do not."""
    values = files.preprocessor or {}
    steps = []
    if values.get("do_resize") and (edge := (values.get("size") or {}).get("shortest_edge")):
        steps.append(f"resized to a shorter side of {edge}")
    if values.get("do_center_crop") and (crop := values.get("crop_size")):
        steps.append(f"cropped to {crop['height']}x{crop['width']}")
    if steps:
        yield f"there images are {' and '.join(steps)}; here they are seen as they are"


def _class_names(values: Mapping[str, Any], config: ModelConfig) -> tuple[str, ...] | None:
    """The names in config.json; None for none, or those that count up."""
    labels = {int(key): str(name) for key, name in (values.get("id2label") or {}).items()}
    names = tuple(labels.get(index, f"LABEL_{index}") for index in range(config.num_classes or 0))
    generic = all(name == f"LABEL_{index}" for index, name in enumerate(names))
    return None if generic or len(labels) != len(names) else names
