"""From a file of the original to the network that it holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from deeplab.errors import DeepLabError
from deeplab.interop.loading import Parts, Stored
from deeplab.interop.report import Shapes
from deeplab.interop.tf1.backbone import decoder_channels, find_backbone, scope_of
from deeplab.interop.tf1.findings import Assumption, Findings
from deeplab.interop.tf1.head import assumed_rates, describes_nothing, find_head
from deeplab.interop.tf1.names import original_names
from deeplab.interop.tf1.network import VARIANTS, network_config
from deeplab.models import BACKBONES, DeepLabModel, ModelConfig, variables_by_path

# What a training checkpoint holds besides the network: counters, slots of optimizers, averages.
_NOT_OF_THE_NETWORK = re.compile(
    r"^(global_step|beta[12]_power)$"
    r"|/(Momentum|Adam(_1)?|RMSProp(_1)?|ExponentialMovingAverage|biased|local_step)$"
)
# What stands behind the backbone of a classifier, in its scope.
_OF_A_CLASSIFIER = re.compile(r"^\w+/(Conv_[12]|Logits|AuxLogits|logits|aux\w*|predictions)/")
_FRESH_HEAD = "the head is fresh; that of DeepLabv3+"


class Recognized(NamedTuple):
    """The network in a file, and what a user should read about how it was found."""

    config: ModelConfig
    lines: tuple[str, ...]


def recognize(
    file: Stored,
    given: Mapping[str, Any],
    *,
    skip: Collection[str] = (),
    backbone_only: bool = False,
    num_classes: int | None = None,
) -> Recognized:
    """Finds out which network a file holds.

    Args:
        file: a checkpoint or a frozen graph.
        given: flags that describe the network (`NetworkFlags.network`). They decide what names and
            shapes cannot, and must agree with what these say.
        skip: some of `loading.PARTS`, which may differ.
        backbone_only: whether the head is left alone, if there is one.
        num_classes: other classes than the file's, for a head whose logits are fresh.

    Raises:
        DeepLabError: if it is no network that we know, or a given flag contradicts it.
    """
    shapes = network_shapes(file.shapes)
    scope = scope_of(shapes, file.path)
    findings = Findings()
    find_backbone(shapes, scope, given, findings, path=file.path, of_classifier=backbone_only)
    variant = findings.found["model_variant"].value
    try:
        if backbone_only:
            _assume_head(variant, given, findings)
        else:
            find_head(shapes, decoder_channels(shapes, scope, variant), given, findings)
        flags = findings.settle(given, skip=skip, path=file.path)
        if num_classes is not None:
            flags["num_classes"] = num_classes
            if flags.get("decoder_output_is_logits"):
                flags.pop("decoder_filters", None)  # the old classes
        return Recognized(network_config(flags), tuple(findings.lines(given)))
    except DeepLabError as error:
        message = str(error)
        prefix = "" if message.startswith(file.path) else f"{file.path}: "
        raise DeepLabError(f"{prefix}{message}") from error


def network_shapes(shapes: Shapes) -> Shapes:
    """Those of the variables that are of a network."""
    return {n: shape for n, shape in shapes.items() if not _NOT_OF_THE_NETWORK.search(n)}


def parts_to_load(
    model: DeepLabModel, file: Stored, *, skip: Collection[str], backbone_only: bool
) -> Parts:
    """Which variables of a model and of a file belong together, and which are left alone."""
    if backbone_only:
        return _backbone_parts(model, file)
    # The names of the parts are the beginnings of the original's names.
    prefixes = tuple(skip)
    if "logits" in skip and model.model_config.decoder_outputs_logits:
        prefixes += ("decoder/",)
    return Parts(
        names=original_names(model),
        fresh=lambda name: name.startswith(prefixes),
        ignored=lambda name: bool(_NOT_OF_THE_NETWORK.search(name)),
    )


def _backbone_parts(model: DeepLabModel, file: Stored) -> Parts:
    variables = variables_by_path(model)
    names = original_names(model)
    wanted = {
        name: tuple(variables[path].shape)
        for path, name in names.items()
        if path.startswith("backbone/")
    }
    scope = scope_of(network_shapes(file.shapes), file.path)
    # A classifier keeps the width of its last convolution at small multipliers, DeepLab does not.
    fresh = {
        name
        for name, shape in wanted.items()
        if name.startswith(f"{scope}/Conv_1/") and file.shapes.get(name) != shape
    }

    def ignored(name: str) -> bool:
        if not name.startswith(f"{scope}/") or _NOT_OF_THE_NETWORK.search(name):
            return True
        return name in fresh or (name not in wanted and bool(_OF_A_CLASSIFIER.match(name)))

    return Parts(
        names=names,
        fresh=lambda name: not name.startswith(f"{scope}/") or name in fresh,
        ignored=ignored,
    )


def _assume_head(variant: str, given: Mapping[str, Any], findings: Findings) -> None:
    """A head for a backbone without one: of given flags alone, otherwise of DeepLabv3+."""
    assumed = findings.assumed
    if "output_stride" not in findings.found:
        assumed["output_stride"] = Assumption(16, _FRESH_HEAD)
    assumed["num_classes"] = Assumption(21, _FRESH_HEAD)
    if not describes_nothing(given):
        return
    rates = assumed_rates(3, findings, given)
    assumed["atrous_rates"] = Assumption(rates.value, _FRESH_HEAD)
    if 4 in BACKBONES[VARIANTS[variant]].decoder_strides:
        assumed["decoder_output_stride"] = Assumption((4,), _FRESH_HEAD)
