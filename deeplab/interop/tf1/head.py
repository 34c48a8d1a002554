"""Which head a file of the original holds: ASPP, dense prediction cell, decoder, logits."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from deeplab.errors import DeepLabError
from deeplab.interop.report import Shapes
from deeplab.interop.tf1.backbone import evidence
from deeplab.interop.tf1.findings import Assumption, Finding, Findings
from deeplab.models.dense_prediction_cell import CITYSCAPES_CELL, FEATURE

_CELL_BRANCH = re.compile(
    r"^meta_architecture/branch(\d+)(?:_depthwise/depthwise_weights|/weights)$"
)
_LOGITS = re.compile(r"^logits/semantic(_\d+)?/weights$")
_NO_SHAPE = "rates and strides have no shape"


def find_head(
    shapes: Shapes, tap_channels: Mapping[int, int], given: Mapping[str, Any], findings: Findings
) -> None:
    """Adds what the variables of a head say to the findings.

    Args:
        shapes: of all variables, by name.
        tap_channels: `decoder_channels` of the backbone.
        given: flags that a user gives, on which assumptions depend.
        findings: is added to.

    Raises:
        DeepLabError: if there is no head, or one that cannot be understood.
    """
    found = findings.found
    if "meta_architecture/concat_projection/weights" in shapes:
        _find_cell(shapes, given, findings)
    elif "aspp0/weights" in shapes:
        _find_aspp(shapes, findings)
    else:
        _find_plain_logits(shapes, findings)
    _find_decoder(shapes, tap_channels, findings)
    if "decoder_output_is_logits" in found and found["decoder_output_is_logits"].value:
        name = "decoder/feature_projection0/biases"
    else:
        name = "logits/semantic/biases"
    if name not in shapes:
        raise DeepLabError(
            "there is no head among the variables (no logits/semantic/biases): of a classifier "
            "import the backbone alone, --backbone_only"
        )
    found["num_classes"] = Finding(shapes[name][-1], evidence(shapes, name))

    released = describes_nothing(given) and _is_lite(findings)
    if "output_stride" not in found:
        stride = 32 if released else 16
        why = "as MobileNetV3 was released" if released else _NO_SHAPE
        findings.assumed["output_stride"] = Assumption(stride, why)
    if (count := findings.counts.get("atrous_rates")) and count.value:
        findings.assumed["atrous_rates"] = assumed_rates(count.value, findings, given)
    if _value(findings, "add_image_level_feature"):
        _assume_pooling(findings, given, released=released)
    findings.assumed["image_pyramid"] = Assumption((1.0,), "scales share their variables")


def describes_nothing(given: Mapping[str, Any]) -> bool:
    """Whether a user says nothing of the network, but maybe at which stride it is to run.

    Whoever gives flags gives all those that were typed; what is missing then had its default.
    """
    return not given.keys() - {"output_stride"}


def assumed_rates(count: int, findings: Findings, given: Mapping[str, Any]) -> Assumption:
    """6, 12, 18 at output stride 16, and on like this, in proportion at others."""
    stride = (
        given.get("output_stride")
        or (findings.found.get("output_stride") or findings.assumed["output_stride"]).value
    )
    rates = tuple(6 * (index + 1) * 16 // stride for index in range(count))
    return Assumption(rates, "rates have no shape; those of the paper")


def _value(findings: Findings, name: str) -> Any:
    finding = findings.found.get(name)
    return finding and finding.value


def _is_lite(findings: Findings) -> bool:
    names = ("aspp_with_squeeze_and_excitation", "decoder_output_is_logits")
    return all(_value(findings, name) for name in names)


def _assume_pooling(findings: Findings, given: Mapping[str, Any], *, released: bool) -> None:
    assumed = findings.assumed
    if released:
        why = "as MobileNetV3 was released"
        assumed["image_pooling_crop_size"] = Assumption((769, 769), why)
        assumed["image_pooling_stride"] = Assumption((4, 5), why)
        assumed["image_se_uses_qsigmoid"] = Assumption(True, why)
        return
    assumed["image_pooling_crop_size"] = Assumption((), "the mean of the whole image")
    if given.get("image_pooling_crop_size"):
        assumed["image_pooling_stride"] = Assumption((1, 1), _NO_SHAPE)
    if _value(findings, "aspp_with_squeeze_and_excitation"):
        assumed["image_se_uses_qsigmoid"] = Assumption(False, "gates have no variable")


def _find_aspp(shapes: Shapes, findings: Findings) -> None:
    found = findings.found
    aspp0 = evidence(shapes, "aspp0/weights")
    found["aspp_with_batch_norm"] = Finding(True, aspp0)
    found["dense_prediction_cell_json"] = Finding(None, aspp0)
    found["aspp_convs_filters"] = Finding(shapes["aspp0/weights"][-1], aspp0)
    separable, dense = "aspp{}_depthwise/depthwise_weights", "aspp{}/weights"
    kind = separable if separable.format(1) in shapes else dense
    count = next(i for i in itertools.count() if kind.format(i + 1) not in shapes)
    if count:
        found["aspp_with_separable_conv"] = Finding(
            kind == separable, evidence(shapes, kind.format(1))
        )
    findings.counts["atrous_rates"] = Finding(count, evidence(shapes, kind.format(count or 1)))

    name = "image_pooling/weights"
    found["add_image_level_feature"] = Finding(name in shapes, evidence(shapes, name))
    if name in shapes:
        name = "image_pooling/biases"
        found["aspp_with_squeeze_and_excitation"] = Finding(name in shapes, evidence(shapes, name))
    name = "concat_projection/weights"
    found["aspp_with_concat_projection"] = Finding(name in shapes, evidence(shapes, name))


def _find_plain_logits(shapes: Shapes, findings: Findings) -> None:
    """Logits as a sum of convolutions, one a rate. A 1x1 convolution is the same at any rate."""
    count = sum(1 for name in shapes if _LOGITS.match(name))
    name = "logits/semantic/weights"
    if not count or name not in shapes:
        return
    kernel = shapes[name][0]
    findings.found["aspp_with_batch_norm"] = Finding(False, "no aspp0/weights")
    findings.found["logits_kernel_size"] = Finding(kernel, evidence(shapes, name))
    if count > 1 or kernel > 1:
        why = f"{count} of logits/semantic*/weights"
        findings.counts["atrous_rates"] = Finding(count, why)


def _find_cell(shapes: Shapes, given: Mapping[str, Any], findings: Findings) -> None:
    """A cell's variables tell kernels and who reads the feature, but neither rates nor sources."""
    branches = {
        int(match.group(1)): (shape[0], shape[2])
        for name, shape in shapes.items()
        if (match := _CELL_BRANCH.match(name))
    }
    feature = branches.get(0, (0, 0))[1]
    stored = [(k, channels == feature) for _, (k, channels) in sorted(branches.items())]
    name = "dense_prediction_cell_json"
    cell = given.get(name, CITYSCAPES_CELL)
    if stored != [(row.kernel, row.source == FEATURE) for row in cell]:
        kernels = ", ".join(f"{k}x{k}" for k, _ in stored)
        what = f"the one of --{name}" if name in given else "the released one for Cityscapes"
        raise DeepLabError(
            f"the dense prediction cell has {len(stored)} branches ({kernels}), which is not "
            f"{what}: pass its file, --original_flags=--{name}=FILE"
        )
    findings.assumed[name] = Assumption(
        CITYSCAPES_CELL, "rates have no shape; the cell that was released for Cityscapes"
    )


def _find_decoder(shapes: Shapes, tap_channels: Mapping[int, int], findings: Findings) -> None:
    found = findings.found
    suffixes = itertools.chain([""], (f"_{index}" for index in itertools.count(1)))
    names = (f"decoder/feature_projection0{suffix}/weights" for suffix in suffixes)
    projections = list(itertools.takewhile(lambda name: name in shapes, names))
    if not projections:
        evidence_of_none = "no decoder/feature_projection0/weights"
        found["decoder_output_stride"] = Finding((), evidence_of_none)
        return
    _find_strides(shapes, projections, tap_channels, findings)
    biases = "decoder/feature_projection0/biases"
    is_logits = biases in shapes
    found["decoder_output_is_logits"] = Finding(is_logits, evidence(shapes, biases))
    # (first layer of the stage, whether it sums, whether it is separable)
    kinds = (
        ("decoder/decoder_split_sep_conv0_pointwise/weights", True, True),
        ("decoder/decoder_conv0/weights", True, False),
        ("decoder/decoder_conv0_pointwise/weights", False, True),
        ("decoder/decoder_conv0/decoder_conv0_1/weights", False, False),
    )
    for name, is_sum, separable in kinds:
        if name in shapes:
            why = evidence(shapes, name)
            found["decoder_use_sum_merge"] = Finding(is_sum, why)
            if not is_logits:
                found["decoder_use_separable_conv"] = Finding(separable, why)
                found["decoder_filters"] = Finding(shapes[name][-1], why)
            return
    raise DeepLabError(f"the decoder has a {projections[0]}, but no layer behind it")


def _find_strides(
    shapes: Shapes,
    projections: list[str],
    tap_channels: Mapping[int, int],
    findings: Findings,
) -> None:
    """A stage's stride from the channels of the feature that it projects."""
    fitting = [
        [stride for stride, channels in tap_channels.items() if channels == shapes[name][2]]
        for name in projections
    ]
    choices = [c for c in itertools.product(*fitting) if list(c) == sorted(set(c), reverse=True)]
    why = ", ".join(evidence(shapes, name) for name in projections)
    if not choices:
        raise DeepLabError(
            f"no decoder of this backbone reads {why}: the features at strides "
            f"{', '.join(map(str, tap_channels))} have "
            f"{', '.join(map(str, tap_channels.values()))} channels"
        )
    if len(choices) == 1:
        findings.found["decoder_output_stride"] = Finding(choices[0], why)
    else:
        findings.counts["decoder_output_stride"] = Finding(len(projections), why)
        findings.assumed["decoder_output_stride"] = Assumption(
            choices[0], f"several features have the channels of {why}"
        )
