"""Reads released DeepLab networks in LiteRT (.tflite) files, and MobileNetV2 classifiers.

Batch norm is folded in such files. A folded layer becomes gamma = sqrt(1 + epsilon), beta = bias,
mean 0 and variance 1, which computes the same in inference.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.interop.litert.file import read_litert_file
from deeplab.interop.litert.graph import Affine, Convolution, Graph, Node
from deeplab.interop.litert.match import match_graph, not_importable
from deeplab.interop.loading import Found, Parts, Request, Stored
from deeplab.interop.report import Shapes
from deeplab.models import DeepLabModel, ModelConfig, variables_by_path

FOLDED_NOTE = (
    "batch norm was folded into the convolutions: gamma = sqrt(1 + epsilon), beta = bias, mean 0, "
    "variance 1. Keep it frozen for fine-tuning: training it from this state changes the function"
)

# x / 127.5 - 1, as images enter our MobileNetV2.
_NORMALIZATION = Affine(2 / 255, -1.0)
# How far the normalization of a file may be from ours: the 8-bit files' x / 128 - 1 is meant.
_SCALE_TOLERANCE, _OFFSET_TOLERANCE = 0.01, 0.02


class LitertNetwork(NamedTuple):
    """The network in a file.

    Attributes:
        config: at the output stride of the file. Its `num_classes` is None for a classifier, of
            which the backbone alone is read.
        weights: float32, by our paths of variables: all of a DeepLab, those below "backbone/" of a
            classifier.
        notes: what a user should know of them, a sentence each.
        ignored: shapes of a classifier's last layers, by the file's names.
    """

    config: ModelConfig
    weights: dict[str, np.ndarray]
    notes: tuple[str, ...]
    ignored: Shapes


def read_litert(path: str | Path) -> LitertNetwork:
    """The network in a .tflite file: what it is, and its weights.

    Args:
        path: a DeepLab with MobileNetV2 and without decoder, or a MobileNetV2 classifier; weights
            in float32, float16 or 8 bit.

    Raises:
        DeepLabError: if the file cannot be read or is another network; the message names what is
            not understood.
    """
    graph = Graph(read_litert_file(path))
    found = match_graph(graph)
    config = found.model.model_config
    if found.classifier is not None:
        config = dataclasses.replace(config, num_classes=None)
    return LitertNetwork(
        config,
        _weights_of(found.model, found.layers),
        tuple(_notes(graph, config)),
        _stored_shapes(graph, found.classifier or ()),
    )


def read(request: Request) -> Found:
    """The network in a .tflite file, for an import.

    Raises:
        DeepLabError: see `read_litert`; if it is a classifier of which more than the backbone is
            asked for, or has other atrous rates than the network that its weights are for.
    """
    config, weights, notes, ignored = read_litert(request.path)
    is_classifier = config.num_classes is None
    has_rates = not (is_classifier or request.backbone_only or "aspp" in request.skip)
    if request.config is not None and has_rates:
        _check_rates(request.config, config, request.path)
    if request.config is None and is_classifier and not request.backbone_only:
        raise DeepLabError(
            f"{request.path} is a classifier: import its backbone alone, --backbone_only"
        )
    if request.fresh_classes is not None:
        config = dataclasses.replace(config, num_classes=request.fresh_classes)
    if is_classifier:
        request = request._replace(backbone_only=True)

    def parts(model: DeepLabModel) -> Parts:
        paths = {path: path for path in variables_by_path(model)}
        return Parts(paths, request.leaves_fresh, ignored=lambda name: name not in weights)

    shapes = {**ignored, **{path: value.shape for path, value in weights.items()}}
    stored = Stored(request.path, shapes, weights.__getitem__)
    return Found(config, notes, stored, parts, batch_norm_folded=True)


def _check_rates(ours: ModelConfig, stored: ModelConfig, path: str) -> None:
    """The rates of ASPP have no shape that would tell them apart."""
    stored = stored.at_output_stride(ours.output_stride)
    # Another number of them shows in the variables.
    found, wanted = stored.resolved_atrous_rates, ours.resolved_atrous_rates
    if len(found) == len(wanted) and found != wanted:
        raise DeepLabError(
            f"{path} has the atrous rates {found} at output stride {ours.output_stride}, the model "
            f"has {wanted}"
        )


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


def _stored_shapes(graph: Graph, nodes: Sequence[Node]) -> Shapes:
    """Kernels and biases by the file's names; of several that a converter joined, the first."""
    shapes: Shapes = {}
    for node in nodes:
        if isinstance(node, Convolution) or node.kind == "FULLY_CONNECTED":
            for number in node.operator.inputs[1:]:
                tensor = graph.file.tensors[number]
                name = tensor.name.split(";")[0]
                shapes[tensor.name if name in shapes else name] = tensor.shape
    return shapes


def _notes(graph: Graph, config: ModelConfig) -> Iterator[str]:
    what = f"mobilenet_v2 with depth multiplier {config.depth_multiplier:g}"
    if config.num_classes is None:
        yield f"found the backbone {what} in a classifier; its last layers are ignored"
    else:
        yield f"found {what}, output stride {config.output_stride}, {config.num_classes} classes"
    yield FOLDED_NOTE
    tensors = graph.file.tensors
    kinds = {
        tensor.type for tensor in tensors if tensor.data is not None and len(tensor.shape) == 4
    }
    if kinds - {"FLOAT32"}:
        yield f"the weights were stored as {', '.join(sorted(kinds))} and are float32 here"
    for node in graph.nodes if config.num_classes else ():
        if node.operator.kind == "AVERAGE_POOL_2D":
            options = node.operator.options
            yield (
                "image pooling is the mean over the whole map at every size; the file holds a pool "
                f"of {options['filterHeight']}x{options['filterWidth']}"
            )
    yield _normalization_note(graph)


def _normalization_note(graph: Graph) -> str:
    stored = graph.normalization
    if stored is None:
        return "the file is fed normalized numbers, taken to be x / 127.5 - 1"
    if (
        abs(stored.scale / _NORMALIZATION.scale - 1) > _SCALE_TOLERANCE
        or abs(stored.offset - _NORMALIZATION.offset) > _OFFSET_TOLERANCE
    ):
        raise not_importable(
            graph,
            f"it takes an image x as {stored.scale:.6g} x {stored.offset:+.6g}, not as x / 127.5 - "
            "1: this is not understood",
        )
    return f"the file takes an image x as {stored.scale:.6g} x {stored.offset:+.6g}, here as " + (
        f"{_NORMALIZATION.scale:.6g} x {_NORMALIZATION.offset:+.6g}"
    )
