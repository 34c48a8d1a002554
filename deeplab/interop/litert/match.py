"""Finds a DeepLab with MobileNetV2, or a MobileNetV2 classifier, in a graph.

By order, kind and shape: names are not looked at, since converters change them. What is found here
is still to be compared with our network, stride by stride.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.interop.litert.graph import Convolution, Graph, Node, Step

# What may follow the logits: it changes no weight.
_AFTER_LOGITS = ("ARG_MAX", "CAST", "RESHAPE", "RESIZE_BILINEAR", "SOFTMAX", "SQUEEZE")
# What a classifier may be made of, behind its convolutions.
_CLASSIFIER = ("AVERAGE_POOL_2D", "FULLY_CONNECTED", "MEAN", "RESHAPE", "SOFTMAX", "SQUEEZE")
_POOLS = ("AVERAGE_POOL_2D", "MEAN")


class Backbone(NamedTuple):
    """A MobileNetV2 as found: layers and sums by our paths, widths of the stem and the rest."""

    layers: dict[str, Convolution]
    sums: dict[str, Step]
    widths: list[int]
    features: int


def match_backbone(graph: Graph) -> Backbone:
    """Follows stem and inverted residuals from the input on, as far as they go."""
    stem = _only(graph.consumers(graph.input))
    if not isinstance(stem, Convolution) or stem.depthwise or stem.activation != "relu6":
        raise not_importable(
            graph,
            f"it begins with {what_follows(graph, graph.input)}, not as MobileNetV2 does",
        )
    layers, sums, widths = {"backbone/conv": stem}, {}, [stem.bias.size]
    x, index = stem.output, 0
    while block := _match_inverted_residual(graph, x):
        name = f"backbone/expanded_conv_{index}" if index else "backbone/expanded_conv"
        layers |= {f"{name}/{part}": layer for part, layer in block.items()}
        project = block["project"]
        widths.append(project.bias.size)
        total = _sum_of(graph, x, project.output)
        if total is not None:
            sums[f"{name}/sum"] = total
        x = project.output if total is None else total.output
        index += 1
    return Backbone(layers, sums, widths, x)


def _match_inverted_residual(graph: Graph, x: int) -> dict[str, Convolution] | None:
    """A 1x1 expansion (or none), a depthwise convolution, a linear 1x1 projection."""
    for first in graph.consumers(x):
        if not isinstance(first, Convolution) or first.activation != "relu6":
            continue
        expand = first if first.is_pointwise else None
        depthwise = _only(graph.consumers(first.output)) if expand else first
        if not isinstance(depthwise, Convolution) or not depthwise.depthwise:
            continue
        # A decoder may read the depthwise convolution too, but never linearly.
        for project in graph.consumers(depthwise.output):
            if (
                depthwise.activation == "relu6"
                and isinstance(project, Convolution)
                and project.is_pointwise
                and project.activation == "linear"
            ):
                layers = {"expand": expand} if expand else {}
                return {**layers, "depthwise": depthwise, "project": project}
    return None


def _sum_of(graph: Graph, x: int, residual: int) -> Step | None:
    for node in graph.consumers(residual):
        if isinstance(node, Step) and node.kind == "ADD" and set(node.inputs) == {x, residual}:
            if not node.operator.options.get("fusedActivationFunction"):
                return node
    return None


def match_classifier(graph: Graph, features: int) -> tuple[Node, ...] | None:
    """What follows the features of a classifier; None if this is no classifier.

    A classifier goes on with one 1x1 convolution of its own and then the mean of the image.
    """
    if features == graph.output:
        return ()
    widest = _only(graph.consumers(features))
    if not (isinstance(widest, Convolution) and widest.is_pointwise):
        return None
    pool = _only(graph.consumers(widest.output))
    if widest.activation != "relu6" or not (
        widest.output == graph.output or (isinstance(pool, Step) and pool.kind in _POOLS)
    ):
        return None
    nodes: list[Node] = [widest]
    while nodes[-1].output != graph.output:
        node = _only(graph.consumers(nodes[-1].output))
        if node is None or (isinstance(node, Step) and node.kind not in _CLASSIFIER):
            raise not_importable(
                graph, f"{what_follows(graph, nodes[-1].output)} in a classifier is not understood"
            )
        nodes.append(node)
    return tuple(nodes)


class Head(NamedTuple):
    """ASPP and logits as found: layers by our paths, the operators between them."""

    layers: dict[str, Convolution]
    steps: tuple[Step, ...]
    rates: tuple[int, ...] | None
    channels: int
    pool: Step | None


def match_head(graph: Graph, features: int) -> Head:
    """Walks back from the result: resizes, logits, projection, branches of ASPP."""
    steps: list[Step] = []
    logits = graph.producer(graph.output)
    while isinstance(logits, Step) and logits.kind in _AFTER_LOGITS:
        steps.append(_aligned(graph, logits))
        logits = graph.producer(logits.inputs[0])
    if not (isinstance(logits, Convolution) and logits.is_pointwise):
        raise not_importable(graph, f"no 1x1 convolution makes its result, but {_name(logits)}")
    if logits.activation != "linear":
        raise not_importable(graph, f"{logits.operator} makes logits with an activation")
    projection = graph.producer(logits.input)
    if not _is_head_convolution(projection):
        raise not_importable(
            graph, f"before the logits stands no 1x1 projection with ReLU, but {_name(projection)}"
        )
    before = graph.producer(projection.input)
    if isinstance(before, Convolution) and before.depthwise and before.input != features:
        raise not_importable(
            graph, f"{before.operator} belongs to a decoder, which is not understood"
        )
    layers = {"aspp/projection": projection, "logits": logits}
    ends = [projection.input]
    if isinstance(before, Step) and before.kind == "CONCATENATION":
        steps.append(before)
        ends = list(before.inputs)
    rates: list[int] = []
    pool = None
    for position, end in enumerate(ends):
        branch = _match_branch(graph, end, features)
        steps.extend(branch.steps)
        if branch.name == "conv0" and position == (1 if pool else 0):
            layers["aspp/conv0"] = branch.layers[0]
        elif branch.name == "image_pooling" and position == 0:
            pool = branch.steps[0]
            layers["aspp/image_pooling"] = branch.layers[0]
        elif branch.name == "atrous" and "aspp/conv0" in layers:
            depthwise, pointwise = branch.layers
            rates.append(depthwise.rate)
            layers[f"aspp/conv{len(rates)}/depthwise"] = depthwise
            layers[f"aspp/conv{len(rates)}/pointwise"] = pointwise
        else:
            raise not_importable(
                graph, f"branch {position} of ASPP, {branch.name}, is out of order"
            )
    if "aspp/conv0" not in layers:
        raise not_importable(graph, "ASPP without its 1x1 convolution is not understood")
    return Head(layers, tuple(steps), tuple(rates), projection.bias.size, pool)


class _Branch(NamedTuple):
    """A branch of ASPP: "image_pooling", "conv0" or "atrous"."""

    name: str
    layers: tuple[Convolution, ...]
    steps: tuple[Step, ...]


def _match_branch(graph: Graph, end: int, features: int) -> _Branch:
    node = graph.producer(end)
    resize = node if isinstance(node, Step) and node.kind == "RESIZE_BILINEAR" else None
    if resize is not None:
        node = graph.producer(resize.inputs[0])
    if not _is_head_convolution(node):
        raise not_importable(graph, f"a branch of ASPP ends with {_name(node)}: not understood")
    if node.input == features and resize is None:
        return _Branch("conv0", (node,), ())
    before = graph.producer(node.input)
    if (
        isinstance(before, Convolution)
        and before.depthwise
        and before.activation == "relu"
        and before.input == features
        and before.stride == 1
        and resize is None
    ):
        return _Branch("atrous", (before, node), ())
    if isinstance(before, Step) and before.kind in _POOLS and before.inputs == (features,):
        _check_pool(graph, before)
        steps = (before,) if resize is None else (before, resize)
        return _Branch("image_pooling", (node,), steps)
    raise not_importable(
        graph, f"{_name(before)} in a branch of ASPP or in a decoder is not understood"
    )


def _is_head_convolution(node: Node | None) -> TypeGuard[Convolution]:
    return isinstance(node, Convolution) and node.is_pointwise and node.activation == "relu"


def _check_pool(graph: Graph, pool: Step) -> None:
    """The mean must be over the whole map of the file."""
    height, width = graph.file.tensors[pool.operator.inputs[0]].shape[1:3]
    if pool.kind == "MEAN":
        axes = graph.constant(pool, 1)
        whole = axes is not None and sorted(np.ravel(axes).tolist()) == [1, 2]
    else:
        options = pool.operator.options
        whole = (options["filterHeight"], options["filterWidth"]) == (height, width)
    if not whole or graph.file.tensors[pool.operator.outputs[0]].shape[1:3] != (1, 1):
        raise not_importable(
            graph, f"{pool.operator} pools a part of the {height}x{width} map: not understood"
        )


def _aligned(graph: Graph, step: Step) -> Step:
    if step.kind == "RESIZE_BILINEAR" and not step.operator.options.get("alignCorners"):
        raise not_importable(
            graph, f"{step.operator} resizes without aligned corners: this is not understood"
        )
    return step


def _only(nodes: Sequence[Node]) -> Node | None:
    return nodes[0] if len(nodes) == 1 else None


def what_follows(graph: Graph, tensor: int) -> str:
    """The operators that read a tensor, for messages."""
    return ", ".join(str(node.operator) for node in graph.consumers(tensor)[:3]) or "nothing"


def _name(node: Node | None) -> str:
    return "the input" if node is None else str(node.operator)


def not_importable(graph: Graph, why: str) -> DeepLabError:
    """The error for a graph that is not one of ours."""
    return DeepLabError(f"{graph.file.path} is not a network that can be imported: {why}")
