"""Reads released DeepLab networks in LiteRT (.tflite) files, and MobileNetV2 classifiers.

The architecture is found from the graph: order, shapes, strides and rates of its convolutions.
Names are not looked at, since converters change them. Whatever is found is then compared with the
network that we build of it, layer by layer, and an operator that has no place there is an error.

Batch norm is folded in such files. A folded layer becomes gamma = sqrt(1 + epsilon), beta = bias,
mean 0 and variance 1, which computes the same in inference.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.interop.litert.file import read_litert_file
from deeplab.interop.litert.graph import Affine, Convolution, Graph, Node, Step
from deeplab.interop.litert.match import (
    Backbone,
    Head,
    match_backbone,
    match_classifier,
    match_head,
    not_importable,
    what_follows,
)
from deeplab.interop.report import ImportReport
from deeplab.models import (
    OUTPUT_STRIDES,
    DeepLabModel,
    ModelConfig,
    build_model,
    variables_by_path,
)
from deeplab.models.backbones.inverted_residual import round_width

FOLDED_NOTE = (
    "batch norm was folded into the convolutions: gamma = sqrt(1 + epsilon), beta = bias, mean 0, "
    "variance 1. Keep it frozen for fine-tuning: training it from this state changes the function"
)

# x / 127.5 - 1, as images enter our MobileNetV2.
_NORMALISATION = Affine(2 / 255, -1.0)
# How far the normalisation of a file may be from ours: the 8-bit files' x / 128 - 1 is meant.
_SCALE_TOLERANCE, _OFFSET_TOLERANCE = 0.01, 0.02
# Multiples that widths are rounded to, in the order of how common they are.
_DIVISORS = (None, 8, 1, 2, 4, 16, 32)


class _Weights(NamedTuple):
    """What a file holds, in our terms."""

    config: ModelConfig
    weights: dict[str, np.ndarray]
    ignored: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]


def read_litert(
    path: str | Path,
) -> tuple[ModelConfig, dict[str, np.ndarray], tuple[str, ...]]:
    """The network in a .tflite file: what it is, and its weights.

    Args:
        path: a DeepLab with MobileNetV2 and without decoder, or a MobileNetV2 classifier; weights
            in float32, float16 or 8 bit.

    Returns:
        The configuration, at the output stride of the file. Its `num_classes` is None for a
        classifier, of which the backbone alone is read.
        The weights, float32, by our paths of variables: all of a DeepLab, those below "backbone/"
        of a classifier.
        What a user should know of them, a sentence each.

    Raises:
        DeepLabError: if the file cannot be read or is another network; the message names what is
            not understood.
    """
    found = _read(path)
    return found.config, found.weights, found.notes


def load_litert(model: DeepLabModel, path: str | Path) -> ImportReport:
    """Loads a .tflite file into a model of the same architecture, at any output stride.

    Nothing is assigned unless everything fits. Of a classifier the backbone is loaded; the rest
    of the model stays as it is and is reported as missing.

    Returns:
        The report, by our paths; what is ignored (a classifier's last layers) by the file's names.

    Raises:
        DeepLabError: if the file cannot be read, is another network, or does not fit the model.
    """
    found = _read(path)
    variables = variables_by_path(model)
    wanted = {name: tuple(variable.shape) for name, variable in variables.items()}
    stored = {name: value.shape for name, value in found.weights.items()}
    report = ImportReport(
        source=f"litert {path}",
        loaded=stored,
        missing={name: shape for name, shape in wanted.items() if name not in stored},
        unused={name: shape for name, shape in stored.items() if name not in wanted},
        ignored=found.ignored,
        notes=found.notes,
        batch_norm_folded=True,
    )
    is_backbone = found.config.num_classes is None
    missing = [n for n in report.missing if not (is_backbone and not n.startswith("backbone/"))]
    for kind, names in (("missing", missing), ("unused", list(report.unused))):
        if names:
            shape = list({**wanted, **stored}[names[0]])
            raise DeepLabError(
                f"{path}: {len(names)} {kind} variables, the first is {names[0]} {shape}: "
                f"this is not a file of {model.model_config}"
            )
    for name, stored_shape in stored.items():
        if stored_shape != wanted[name]:
            raise DeepLabError(
                f"{path}: {name} has the shape {list(stored_shape)}, "
                f"the model needs {list(wanted[name])}"
            )
    if not is_backbone:
        _check_rates(model.model_config, found.config, path)
    for name, value in found.weights.items():
        variables[name].assign(value)
    return report


def _check_rates(ours: ModelConfig, stored: ModelConfig, path: str | Path) -> None:
    """The rates of ASPP have no shape that would tell them apart."""
    stored = stored.at_output_stride(ours.output_stride)
    if stored.resolved_atrous_rates != ours.resolved_atrous_rates:
        raise DeepLabError(
            f"{path} has the atrous rates {stored.resolved_atrous_rates} at output stride "
            f"{ours.output_stride}, the model has {ours.resolved_atrous_rates}"
        )


def _read(path: str | Path) -> _Weights:
    graph = Graph(read_litert_file(path))
    backbone = match_backbone(graph)
    nominal = _nominal_widths()
    if len(backbone.widths) != len(nominal):
        raise not_importable(
            graph,
            f"it has {len(backbone.widths) - 1} of the {len(nominal) - 1} inverted residuals of "
            f"MobileNetV2; what follows is {what_follows(graph, backbone.features)}",
        )
    classifier = match_classifier(graph, backbone.features)
    head = match_head(graph, backbone.features) if classifier is None else None
    _check_all_used(graph, backbone, head, classifier)

    stride = math.prod(layer.stride for layer in backbone.layers.values())
    if stride not in OUTPUT_STRIDES:
        raise not_importable(graph, f"its output stride is {stride}, none of {OUTPUT_STRIDES}")
    config = _with_widths(_config(stride, head), backbone.widths, nominal, graph)
    layers = {**backbone.layers, **(head.layers if head else {})}
    # A backbone has no classes of its own; any number makes a network to compare it with.
    model = build_model(config if head else dataclasses.replace(config, num_classes=2))
    weights = _weights_of(model, layers)
    _check_layers(graph, model, layers, weights)
    _check_sums(graph, model, backbone.sums)
    return _Weights(
        config=config,
        weights=weights,
        ignored=_stored_shapes(graph, classifier or ()),
        notes=tuple(_notes(graph, config, head)),
    )


def _check_all_used(
    graph: Graph, backbone: Backbone, head: Head | None, classifier: Sequence[Node] | None
) -> None:
    """No operator may be left over: it would change what the network computes."""
    used: list[Node] = [*backbone.layers.values(), *backbone.sums.values(), *(classifier or ())]
    if head:
        used += [*head.layers.values(), *head.steps]
    positions = {node.operator.position for node in used}
    for node in graph.nodes:
        if node.operator.position not in positions:
            raise not_importable(graph, f"{node.operator} is not understood")


def _config(output_stride: int, head: Head | None) -> ModelConfig:
    config = ModelConfig("mobilenet_v2", output_stride=output_stride)
    if head is None:
        return config
    return dataclasses.replace(
        config,
        num_classes=head.layers["logits"].bias.size,
        atrous_rates=head.rates,
        image_pooling=head.pool is not None,
        decoder=False,
        aspp_channels=head.channels,
    )


@functools.cache
def _nominal_widths() -> tuple[int, ...]:
    """Widths of the stem and the inverted residuals of our MobileNetV2 at multiplier 1."""
    config = ModelConfig("mobilenet_v2", num_classes=2, decoder=False, atrous_rates=())
    variables = variables_by_path(build_model(config))
    return tuple(
        variable.shape[-1]
        for path, variable in variables.items()
        if path == "backbone/conv/kernel" or path.endswith("/project/kernel")
    )


def _with_widths(
    config: ModelConfig, widths: Sequence[int], nominal: Sequence[int], graph: Graph
) -> ModelConfig:
    """The configuration with the multiplier and the rounding that give the widths."""
    for multiplier in _multipliers(widths[-1] / nominal[-1]):
        for divisor in _DIVISORS:
            minimum = 8 if multiplier == 1 else 1
            step = divisor or minimum
            if all(
                round_width(width * multiplier, step, minimum) == found
                for width, found in zip(nominal, widths, strict=True)
            ):
                options = {"divisible_by": divisor} if divisor else {}
                return dataclasses.replace(
                    config, depth_multiplier=multiplier, backbone_options=options
                )
    raise not_importable(
        graph, f"the widths {', '.join(map(str, widths))} follow from no depth multiplier"
    )


def _multipliers(near: float) -> Iterator[float]:
    """Numbers about a value, those with few digits first, and the nearest of them first."""
    for digits in (1, 2, 3, 4):
        unit = 10**digits
        center, reach = round(near * unit), math.ceil(0.06 * unit)
        numbers = range(max(1, center - reach), center + reach + 1)
        yield from sorted((n / unit for n in numbers), key=lambda value: abs(value - near))


def _weights_of(model: DeepLabModel, layers: Mapping[str, Convolution]) -> dict[str, np.ndarray]:
    """The variables of the layers by our paths; batch norm as one that changes nothing but adds."""
    weights: dict[str, np.ndarray] = {}
    ours = {layer.name.replace(".", "/"): layer for layer in model.layers}
    for path, layer in layers.items():
        weights[f"{path}/kernel"] = layer.kernel
        norm = ours.get(f"{path}/batch_norm")
        if norm is None:
            weights[f"{path}/bias"] = layer.bias
            continue
        one = np.ones_like(layer.bias)
        weights[f"{path}/batch_norm/gamma"] = one * np.float32(math.sqrt(1 + norm.epsilon))
        weights[f"{path}/batch_norm/beta"] = layer.bias
        weights[f"{path}/batch_norm/moving_mean"] = np.zeros_like(layer.bias)
        weights[f"{path}/batch_norm/moving_variance"] = one
    return weights


def _check_layers(
    graph: Graph,
    model: DeepLabModel,
    layers: Mapping[str, Convolution],
    weights: Mapping[str, np.ndarray],
) -> None:
    """Our network must have the layers that were found, with their shapes, strides and rates."""
    ours = {layer.name.replace(".", "/"): layer for layer in model.layers}
    variables = variables_by_path(model)
    for path, layer in layers.items():
        where = f"{layer.operator}, taken for {path},"
        if path not in ours:
            raise not_importable(graph, f"{where} has no counterpart here")
        kernel, expected = layer.kernel.shape, tuple(variables[f"{path}/kernel"].shape)
        if kernel != expected:
            raise not_importable(graph, f"{where} has a kernel {kernel}, here {expected}")
        if not (np.isfinite(layer.kernel).all() and np.isfinite(layer.bias).all()):
            raise not_importable(graph, f"{where} has weights that are no finite numbers")
        stride, rate = ours[path].strides[0], ours[path].dilation_rate[0]
        if (layer.stride, layer.rate) != (stride, rate):
            raise not_importable(
                graph,
                f"{where} has stride {layer.stride} and rate {layer.rate}, here {stride} and "
                f"{rate} at output stride {model.model_config.output_stride}",
            )
    for path in variables:
        if path not in weights and ("logits" in layers or path.startswith("backbone/")):
            raise not_importable(graph, f"it has nothing for {path}")


def _check_sums(graph: Graph, model: DeepLabModel, sums: Mapping[str, Step]) -> None:
    """The same inverted residuals must add their input."""
    names = (layer.name.replace(".", "/") for layer in model.layers)
    ours = {name for name in names if name.startswith("backbone/") and name.endswith("/sum")}
    if different := ours ^ set(sums):
        here, there = ("no ", "a ") if min(different) in sums else ("a ", "no ")
        raise not_importable(graph, f"it has {there}sum {min(different)}, here there is {here}one")


def _stored_shapes(graph: Graph, nodes: Sequence[Node]) -> dict[str, tuple[int, ...]]:
    """Kernels and biases by the file's names; of several that a converter joined, the first."""
    shapes: dict[str, tuple[int, ...]] = {}
    for node in nodes:
        if isinstance(node, Convolution) or node.kind == "FULLY_CONNECTED":
            for number in node.operator.inputs[1:]:
                tensor = graph.file.tensors[number]
                name = tensor.name.split(";")[0]
                shapes[tensor.name if name in shapes else name] = tensor.shape
    return shapes


def _notes(graph: Graph, config: ModelConfig, head: Head | None) -> Iterator[str]:
    what = f"mobilenet_v2 with depth multiplier {config.depth_multiplier:g}"
    if head:
        yield f"found {what}, output stride {config.output_stride}, {config.num_classes} classes"
    else:
        yield f"found the backbone {what} in a classifier; its last layers are ignored"
    yield FOLDED_NOTE
    tensors = graph.file.tensors
    kinds = {
        tensor.type for tensor in tensors if tensor.data is not None and len(tensor.shape) == 4
    }
    if kinds - {"FLOAT32"}:
        yield f"the weights were stored as {', '.join(sorted(kinds))} and are float32 here"
    if head and head.pool is not None and head.pool.kind == "AVERAGE_POOL_2D":
        height = head.pool.operator.options["filterHeight"]
        width = head.pool.operator.options["filterWidth"]
        yield (
            f"image pooling is the mean over the whole map at every size; the file holds a pool of "
            f"{height}x{width}"
        )
    yield _normalisation_note(graph)


def _normalisation_note(graph: Graph) -> str:
    stored = graph.normalisation
    if stored is None:
        return "the file is fed normalised numbers, taken to be x / 127.5 - 1"
    if (
        abs(stored.scale / _NORMALISATION.scale - 1) > _SCALE_TOLERANCE
        or abs(stored.offset - _NORMALISATION.offset) > _OFFSET_TOLERANCE
    ):
        raise not_importable(
            graph,
            f"it takes an image x as {stored.scale:.6g} x {stored.offset:+.6g}, not as x / 127.5 - "
            "1: this is not understood",
        )
    return f"the file takes an image x as {stored.scale:.6g} x {stored.offset:+.6g}, here as " + (
        f"{_NORMALISATION.scale:.6g} x {_NORMALISATION.offset:+.6g}"
    )
