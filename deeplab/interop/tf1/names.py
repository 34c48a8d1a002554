"""The names that the original gave to variables.

The map is mechanical: rules turn our path of a variable into the original's name. Source of the
names: the scopes in model.py and core/ of the original (xception.py, resnet_v1_beta.py,
nas_network.py, nas_cell.py, dense_prediction_cell.py), slim's mobilenet_v2.py and mobilenet_v3.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from deeplab.errors import DeepLabError
from deeplab.models import DeepLabModel, variables_by_path

# Pattern of the beginning of our path, and what stands there in the original; the first that
# matches is used. A group that does not take part in a match is empty in the replacement.
Rules = tuple[tuple[str, str], ...]

_HEAD: Rules = (
    (r"^aspp/image_pooling\b", "image_pooling"),
    (r"^aspp/conv(\d+)/(depthwise|pointwise)\b", r"aspp\1_\2"),
    (r"^aspp/conv(\d+)\b", r"aspp\1"),
    (r"^aspp/projection\b", "concat_projection"),
    (
        r"^dense_prediction_cell/branch(\d+)/(depthwise|pointwise)\b",
        r"meta_architecture/branch\1_\2",
    ),
    (r"^dense_prediction_cell/branch(\d+)\b", r"meta_architecture/branch\1"),
    (r"^dense_prediction_cell/projection\b", "meta_architecture/concat_projection"),
    (r"^logits_(\d+)\b", r"logits/semantic_\1"),
    (r"^logits\b", "logits/semantic"),
)
# The first stage of a decoder has no number, the others have one, with us and there.
_STAGE = r"^decoder/(?:stage(_\d+)/)?"
_DECODER: Rules = (
    (_STAGE + r"low_level_projection\b", r"decoder/feature_projection0\1"),
    (_STAGE + r"conv(\d)/(depthwise|pointwise)\b", r"decoder/decoder_conv\2\1_\3"),
    (_STAGE + r"conv0\b", r"decoder/decoder_conv0\1/decoder_conv0\1_1"),
    (_STAGE + r"conv1\b", r"decoder/decoder_conv0\1/decoder_conv0\1_2"),
    (_STAGE + r"sum_conv/(depthwise|pointwise)\b", r"decoder/decoder_split_sep_conv0\1_\2"),
    (_STAGE + r"sum_conv\b", r"decoder/decoder_conv0\1"),
)


def _mobilenet(scope: str) -> Rules:
    return (
        (r"^backbone/conv(_1)?/", rf"{scope}/Conv\1/"),
        (
            r"^backbone/(expanded_conv(?:_\d+)?)/squeeze_excite/conv(_1)?/",
            rf"{scope}/\1/squeeze_excite/Conv\2/",
        ),
        (r"^backbone/", f"{scope}/"),
    )


def _resnet(scope: str) -> Rules:
    unit = "lite_bottleneck_v1" if scope.endswith("_18") else "bottleneck_v1"
    return (
        (r"^backbone/(block\d+/unit_\d+)/", rf"{scope}/\1/{unit}/"),
        (r"^backbone/", f"{scope}/"),
    )


def _xception(scope: str) -> Rules:
    module = rf"{scope}/\1/xception_module"
    return (
        (r"^backbone/(\w+/block\d+/unit_\d+)/(separable_conv\d)/(\w+)", rf"{module}/\2_\3"),
        (r"^backbone/(\w+/block\d+/unit_\d+)/shortcut\b", rf"{module}/shortcut"),
        (r"^backbone/", f"{scope}/"),
    )


def _nas(scope: str) -> Rules:
    cell, cell_scope = r"^backbone/(cell_\d+)", rf"{scope}/\1"
    half, half_scope = rf"{cell}/pair_(\d+/\w+)", rf"{cell_scope}/comb_iter_\2"
    return (
        (rf"{half}/separable_(\w+)/batch_norm\b", rf"{half_scope}/bn_sep_\3"),
        (rf"{half}/atrous_(\w+)/batch_norm\b", rf"{half_scope}/bn_atr_\3"),
        (rf"{half}/projection/batch_norm\b", rf"{half_scope}/bn_1"),
        # One operation with two kernels in the original.
        (rf"{half}/(separable_\w+)/(depthwise|pointwise)/kernel$", rf"{half_scope}/\3/\4_weights"),
        (rf"{half}/projection\b", rf"{half_scope}/1x1"),
        (rf"{half}/", rf"{half_scope}/"),
        (rf"{cell}/input/batch_norm\b", rf"{cell_scope}/beginning_bn"),
        (rf"{cell}/input\b", rf"{cell_scope}/1x1"),
        (rf"{cell}/previous/batch_norm\b", rf"{cell_scope}/prev_bn"),
        (rf"{cell}/previous\b", rf"{cell_scope}/prev_1x1"),
        (r"^backbone/(conv\d)/batch_norm\b", rf"{scope}/\1_bn"),
        (r"^backbone/", f"{scope}/"),
    )


# Our backbone -> its scope there, and the rules below it.
_BACKBONES: dict[str, tuple[str, Callable[[str], Rules]]] = {
    "hnasnet": ("hnasnet", _nas),
    "mobilenet_edgetpu": ("MobilenetEdgeTPU", _mobilenet),
    "mobilenet_v2": ("MobilenetV2", _mobilenet),
    "mobilenet_v3_large": ("MobilenetV3", _mobilenet),
    "mobilenet_v3_small": ("MobilenetV3", _mobilenet),
    "pnasnet": ("pnasnet", _nas),
    "resnet_18": ("resnet_v1_18", _resnet),
    "resnet_18_beta": ("resnet_v1_18", _resnet),
    "resnet_50": ("resnet_v1_50", _resnet),
    "resnet_50_beta": ("resnet_v1_50", _resnet),
    "resnet_101": ("resnet_v1_101", _resnet),
    "resnet_101_beta": ("resnet_v1_101", _resnet),
    "xception_41": ("xception_41", _xception),
    "xception_65": ("xception_65", _xception),
    "xception_71": ("xception_71", _xception),
}
# Of `BACKBONES` those that the original has.
ORIGINAL_BACKBONES = tuple(_BACKBONES)
SCOPES = tuple(dict.fromkeys(scope for scope, _ in _BACKBONES.values()))


def original_names(model: DeepLabModel) -> dict[str, str]:
    """Our path of each variable -> its name in a checkpoint of the original.

    Raises:
        DeepLabError: if the original does not have the backbone.
    """
    backbone = model.model_config.backbone
    if backbone not in ORIGINAL_BACKBONES:
        raise DeepLabError(f"no file of the original has weights for {backbone}")
    return {path: original_name(path, backbone) for path in variables_by_path(model)}


def original_name(path: str, backbone: str) -> str:
    """The original's name of a variable.

    Args:
        path: our path, such as "aspp/conv1/depthwise/kernel".
        backbone: one of `ORIGINAL_BACKBONES`.
    """
    scope, rules = _BACKBONES[backbone]
    name = path
    for pattern, beginning in _HEAD + _DECODER + rules(scope):
        name, found = re.subn(pattern, beginning, path, count=1)
        if found:
            break
    name = name.replace("/batch_norm/", "/BatchNorm/")
    name = re.sub(r"depthwise/kernel$", "depthwise/depthwise_weights", name)
    return re.sub(r"/kernel$", "/weights", re.sub(r"/bias$", "/biases", name))
