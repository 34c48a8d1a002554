"""Which backbone a file of the original holds, from the names and shapes of its variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deeplab.errors import DeepLabError
from deeplab.interop.report import Shapes
from deeplab.interop.tf1.findings import Assumption, Finding, Findings
from deeplab.interop.tf1.names import SCOPES, original_name
from deeplab.interop.tf1.network import VARIANTS, flag_text
from deeplab.interop.widths import depth_multiplier, nominal_widths
from deeplab.models import BACKBONES
from deeplab.models.backbones import TAPS

# Index of the last inverted residual -> variant.
_MOBILENET_V3 = {14: "mobilenet_v3_large_seg", 10: "mobilenet_v3_small_seg"}
# Variant -> the layers whose channels decoders read at strides 4, 8 and 16.
_XCEPTION_TAPS = ("entry_flow/block2", "entry_flow/block3", "exit_flow/block1")
_RESNET_TAPS = ("block1", "block2", "block3")
_TAPS: dict[str, tuple[str, ...]] = {
    "mobilenet_v2": ("expanded_conv_2", "expanded_conv_5", "expanded_conv_12"),
    "mobilenet_v3_large_seg": ("expanded_conv_2", "expanded_conv_5", "expanded_conv_11"),
    "mobilenet_v3_small_seg": ("expanded_conv", "expanded_conv_2", "expanded_conv_7"),
    "nas_hnasnet": ("cell_2", "cell_5", "cell_7"),
    "nas_pnasnet": ("conv2", "cell_3", "cell_7"),
    "resnet_v1_18": _RESNET_TAPS,
    "resnet_v1_50": _RESNET_TAPS,
    "resnet_v1_101": _RESNET_TAPS,
    "xception_41": _XCEPTION_TAPS,
    "xception_65": _XCEPTION_TAPS,
    "xception_71": ("entry_flow/block3", "entry_flow/block5", "exit_flow/block1"),
}
# Kernel in such a layer -> the axis of its channels, and how many times as many a decoder reads (a
# cell joins five operations). A layer has one of them.
_TAPPED = {
    "depthwise/depthwise_weights": (2, 1),
    "unit_1/bottleneck_v1/conv3/weights": (3, 1),
    "unit_1/lite_bottleneck_v1/conv2/weights": (3, 1),
    "unit_1/xception_module/separable_conv2_pointwise/weights": (3, 1),
    "1x1/weights": (3, 5),
    "weights": (3, 1),
}


def evidence(shapes: Shapes, name: str) -> str:
    """A variable and its shape, or that there is none."""
    return f"{name} {list(shapes[name])}" if name in shapes else f"no {name}"


def scope_of(shapes: Shapes, path: str) -> str:
    """The scope of the backbone in a file.

    Raises:
        DeepLabError: if there is none, or more than one.
    """
    found = [scope for scope in SCOPES if any(name.startswith(f"{scope}/") for name in shapes)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DeepLabError(f"{path} holds several backbones: {', '.join(found)}")
    first = f", of which the first is {next(iter(shapes))}" if shapes else ""
    raise DeepLabError(
        f"{path} is of no DeepLab: none of its {len(shapes)} variables{first} is in a scope of a "
        f"backbone; choices: {', '.join(SCOPES)}"
    )


def find_backbone(
    shapes: Shapes,
    scope: str,
    given: Mapping[str, Any],
    findings: Findings,
    *,
    path: str,
    of_classifier: bool,
) -> None:
    """Adds what the variables of a backbone say to the findings.

    Args:
        shapes: of all variables, by name.
        scope: `scope_of` them.
        given: flags that a user gives; widths may fit several of them.
        findings: is added to.
        path: the file, for messages.
        of_classifier: whether the last convolution may have another width than ours.

    Raises:
        DeepLabError: if the widths are none that this backbone can have, or given flags are others.
    """
    variant, why = _variant(shapes, scope, path)
    findings.found["model_variant"] = Finding(variant, why)
    backbone = BACKBONES[VARIANTS[variant]]
    if backbone.has_depth_multiplier:
        left_out = f"{scope}/Conv_1/" if of_classifier else "none"
        inside = {n: shape for n, shape in shapes.items() if not n.startswith(left_out)}
        _find_widths(inside, variant, given, findings, path)
    if scope in ("hnasnet", "pnasnet"):
        _find_cells(shapes, scope, findings, path)
    if backbone.multi_grid_units:
        findings.assumed["multi_grid"] = Assumption((), "no variable tells rates")
    findings.assumed["use_bounded_activation"] = Assumption(False, "it has no variable")


def decoder_channels(shapes: Shapes, scope: str, variant: str) -> dict[int, int]:
    """Stride of a decoder -> channels of the feature that it would read."""
    return {
        stride: shapes[name][axis] * times
        for stride, layer in zip(TAPS, _TAPS.get(variant.removesuffix("_beta"), ()), strict=False)
        for kernel, (axis, times) in _TAPPED.items()
        if (name := f"{scope}/{layer}/{kernel}") in shapes
    }


def _variant(shapes: Shapes, scope: str, path: str) -> tuple[str, str]:
    if scope.startswith("resnet_v1_"):
        stem = f"{scope}/conv1_1/weights"
        beta = stem in shapes
        return f"{scope}_beta" if beta else scope, evidence(shapes, stem)
    if scope == "MobilenetV3":
        blocks = [re.match(r"MobilenetV3/expanded_conv_(\d+)/", name) for name in shapes]
        last = max((int(block.group(1)) for block in blocks if block), default=0)
        if last not in _MOBILENET_V3:
            raise DeepLabError(
                f"{path}: MobilenetV3 ends with expanded_conv_{last}; the large one ends with 14, "
                "the small one with 10"
            )
        return _MOBILENET_V3[last], f"its last block is expanded_conv_{last}"
    names = {"MobilenetV2": "mobilenet_v2", "MobilenetEdgeTPU": "mobilenet_edgetpu"}
    variant = names.get(scope, f"nas_{scope}" if scope.endswith("nasnet") else scope)
    return variant, f"the scope {scope}"


def _find_widths(
    shapes: Shapes, variant: str, given: Mapping[str, Any], findings: Findings, path: str
) -> None:
    """The multiplier, and for MobileNetV2 the divisor, that give the widths in the file."""
    backbone = VARIANTS[variant]
    names = {ours: original_name(ours, backbone) for ours in nominal_widths(backbone)}
    for ours, name in names.items():
        if name not in shapes and not ours.startswith("backbone/conv_1/"):
            raise DeepLabError(f"{path}: {name} is missing for a {variant}")
    widths = {ours: shapes[name][-1] for ours, name in names.items() if name in shapes}
    result = depth_multiplier(
        backbone,
        widths,
        multiplier=given.get("depth_multiplier"),
        divisor=given.get("divisible_by"),
    )
    stem = evidence(shapes, next(iter(names.values())))
    if result is None:
        told = [name for name in ("depth_multiplier", "divisible_by") if name in given]
        if flags := [f"--{name}={flag_text(given[name])}" for name in told]:
            raise DeepLabError(
                f"{path}: {' and '.join(flags)} contradicts the widths of the file ({stem}, ...)"
            )
        raise DeepLabError(
            f"{path}: the widths {', '.join(map(str, widths.values()))} of {variant} follow from "
            "no depth multiplier"
        )
    findings.found["depth_multiplier"] = Finding(result[0], stem)
    if variant == "mobilenet_v2":
        findings.found["divisible_by"] = Finding(result[1], stem)


def _find_cells(shapes: Shapes, scope: str, findings: Findings, path: str) -> None:
    names = [f"{scope}/cell_{index}/1x1/weights" for index in (0, 11)]
    for name in names:
        if name not in shapes:
            raise DeepLabError(f"{path}: {name} is missing for a {scope}")
    first, last = (shapes[name][-1] for name in names)
    if scope == "hnasnet":
        filters, stride = first, 8
        findings.assumed["nas_remove_os32_stride"] = Assumption(False, "it has no variable")
    else:
        # Its first cell stands at stride 8, its last one at the output stride.
        filters, stride = first // 2, 8 * last // first
    why = ", ".join(evidence(shapes, name) for name in names)
    findings.found["nas_stem_output_num_conv_filters"] = Finding(filters, why)
    findings.found["output_stride"] = Finding(stride, why)
