"""Which backbone a file of the original holds, from the names and shapes of its variables."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from deeplab.errors import DeepLabError
from deeplab.interop.report import Shapes
from deeplab.interop.tf1.findings import Assumption, Finding, Findings
from deeplab.interop.tf1.names import original_names
from deeplab.interop.tf1.network import VARIANTS, flag_text
from deeplab.interop.widths import DIVISORS, depth_multiplier
from deeplab.models import BACKBONES, ModelConfig, build_model, variables_by_path

SCOPES = (
    "MobilenetEdgeTPU",
    "MobilenetV2",
    "MobilenetV3",
    "hnasnet",
    "pnasnet",
    "resnet_v1_18",
    "resnet_v1_50",
    "resnet_v1_101",
    "xception_41",
    "xception_65",
    "xception_71",
)

# Index of the last inverted residual -> variant.
_MOBILENET_V3 = {14: "mobilenet_v3_large_seg", 10: "mobilenet_v3_small_seg"}
# Layers whose widths are multiplied and rounded; the others follow from them.
_SCALED = re.compile(r"^\w+/(Conv|Conv_1|expanded_conv(_\d+)?/project)/weights$")

# Scope or variant -> stride of a decoder -> the layer whose channels it reads, and how many times
# as many it reads (a cell joins five operations).
_MODULE = "unit_1/xception_module/separable_conv2_pointwise/weights"
_XCEPTION_TAPS = {
    4: (f"entry_flow/block2/{_MODULE}", 1),
    8: (f"entry_flow/block3/{_MODULE}", 1),
    16: (f"exit_flow/block1/{_MODULE}", 1),
}
_XCEPTION_71_TAPS = {
    4: (f"entry_flow/block3/{_MODULE}", 1),
    8: (f"entry_flow/block5/{_MODULE}", 1),
    16: (f"exit_flow/block1/{_MODULE}", 1),
}


def _resnet_taps(layer: str) -> dict[int, tuple[str, int]]:
    return {2**block * 2: (f"block{block}/unit_1/{layer}/weights", 1) for block in (1, 2, 3)}


def _mobilenet_taps(*blocks: str) -> dict[int, tuple[str, int]]:
    layers = [f"{block}/depthwise/depthwise_weights" for block in blocks]
    return {stride: (layer, 1) for stride, layer in zip((4, 8, 16), layers, strict=True)}


_TAPS: dict[str, dict[int, tuple[str, int]]] = {
    "mobilenet_edgetpu": {},
    "mobilenet_v2": _mobilenet_taps("expanded_conv_2", "expanded_conv_5", "expanded_conv_12"),
    "mobilenet_v3_large_seg": _mobilenet_taps(
        "expanded_conv_2", "expanded_conv_5", "expanded_conv_11"
    ),
    "mobilenet_v3_small_seg": _mobilenet_taps(
        "expanded_conv", "expanded_conv_2", "expanded_conv_7"
    ),
    "nas_hnasnet": {
        4: ("cell_2/1x1/weights", 5),
        8: ("cell_5/1x1/weights", 5),
        16: ("cell_7/1x1/weights", 5),
    },
    "nas_pnasnet": {
        4: ("conv2/weights", 1),
        8: ("cell_3/1x1/weights", 5),
        16: ("cell_7/1x1/weights", 5),
    },
    "resnet_v1_18": _resnet_taps("lite_bottleneck_v1/conv2"),
    "resnet_v1_50": _resnet_taps("bottleneck_v1/conv3"),
    "resnet_v1_101": _resnet_taps("bottleneck_v1/conv3"),
    "xception_41": _XCEPTION_TAPS,
    "xception_65": _XCEPTION_TAPS,
    "xception_71": _XCEPTION_71_TAPS,
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
    channels = {}
    for stride, (layer, factor) in _TAPS.get(variant.removesuffix("_beta"), {}).items():
        if shape := shapes.get(f"{scope}/{layer}"):
            channels[stride] = shape[2 if layer.endswith("depthwise_weights") else -1] * factor
    return channels


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
    nominal = _scaled_widths(_nominal_shapes(VARIANTS[variant]))
    widths = {name: w for name, w in _scaled_widths(shapes).items() if name in nominal}
    projections = (name for name in nominal if not name.endswith("/Conv_1/weights"))
    if missing := next((name for name in projections if name not in widths), None):
        raise DeepLabError(f"{path}: {missing} is missing for a {variant}")
    nominal = {name: nominal[name] for name in widths}
    told = [given["depth_multiplier"]] if "depth_multiplier" in given else []
    if variant == "mobilenet_v2":
        divisors = (given["divisible_by"],) if given.get("divisible_by") else DIVISORS
        result = depth_multiplier(widths, nominal, divisors=divisors, multipliers=told)
    else:
        result = depth_multiplier(widths, nominal, divisors=(8,), minimum=8, multipliers=told)
    stem = evidence(shapes, next(iter(nominal)))
    if result is None:
        names = ("depth_multiplier", "divisible_by")
        if flags := [f"--{n}={flag_text(given[n])}" for n in names if n in given]:
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


@functools.cache
def _nominal_shapes(backbone: str) -> Shapes:
    """Shapes by the original's names at multiplier 1, of which every layer is built once."""
    model = build_model(ModelConfig(backbone, num_classes=2, decoder=False, atrous_rates=()))
    names = original_names(model)
    return {names[path]: tuple(v.shape) for path, v in variables_by_path(model).items()}


def _scaled_widths(shapes: Shapes) -> dict[str, int]:
    return {name: shape[-1] for name, shape in shapes.items() if _SCALED.match(name)}


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
