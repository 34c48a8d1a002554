"""The proof that the graph of a file is a DeepLab with MobileNetV2, or a MobileNetV2 classifier.

By kind, order and shape: names are not looked at, since converters change them. The convolutions
tell which network it may be; ours is built of that and followed layer by layer beside the graph.
Whatever differs is refused, and so is an operator that has no place there.

Outputs are not compared instead. They show only what the images reach: with ReLU for ReLU6 the
released 8-bit file gives the same ones. Those of 8-bit files differ from ours by up to 0.26 of
their standard deviation as it is. And they take an interpreter, which not every TensorFlow has.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np

from deeplab.errors import DeepLabError
from deeplab.interop.litert.graph import CONVOLUTIONS, Convolution, Graph, Node, Step
from deeplab.interop.widths import depth_multiplier, nominal_widths
from deeplab.models import OUTPUT_STRIDES, DeepLabModel, ModelConfig, build_model
from deeplab.models.resize import ResizeLike

_POOLS = ("AVERAGE_POOL_2D", "MEAN")
# Our layers that are no convolutions -> what they may be in a file. Batch norm and activation are
# part of a convolution there.
_STEPS: dict[type[keras.Layer], tuple[str, ...]] = {
    keras.layers.Add: ("ADD",),
    keras.layers.Concatenate: ("CONCATENATION",),
    keras.layers.GlobalAveragePooling2D: _POOLS,
    ResizeLike: ("RESIZE_BILINEAR",),
}
# What may follow the logits: it changes no weight.
_AFTER_LOGITS = ("ARG_MAX", "CAST", "RESHAPE", "RESIZE_BILINEAR", "SOFTMAX", "SQUEEZE")
# What a classifier may be made of, behind its features.
_CLASSIFIER = (*_POOLS, *CONVOLUTIONS, "FULLY_CONNECTED", "RESHAPE", "SOFTMAX", "SQUEEZE")


class Match(NamedTuple):
    """A graph that is one of ours.

    Attributes:
        model: our network, with fresh weights. A classifier has a head of ours in it.
        layers: the convolutions of the graph by the paths of ours.
        features: number of the tensor of the backbone's last features.
        classifier: what follows them in a classifier; None for a DeepLab.
    """

    model: DeepLabModel
    layers: dict[str, Convolution]
    features: int
    classifier: tuple[Node, ...] | None


def match_graph(graph: Graph) -> Match:
    """Finds our network in a graph.

    Raises:
        DeepLabError: if it is another one; the message names what is not understood.
    """
    config, features = _backbone_config(graph)
    classifier = _classifier(graph, features)
    if classifier is None:
        config = _with_head(config, graph, features)
    else:
        # A backbone has no classes of its own; any number makes a network to compare it with.
        config = dataclasses.replace(config, num_classes=2)
    model = build_model(config)
    end = model.endpoints["logits_low_resolution" if classifier is None else "high_level"]
    layers, nodes, output = _follow(graph, keras.Model(model.input, end), config.output_stride)
    rest = classifier
    if rest is None:
        rest = tuple(_chain(graph, output, _AFTER_LOGITS, "behind the logits"))
        _check_resizes(graph, rest)
    nodes += rest
    used = {node.output for node in nodes}
    # No operator may be left over: it would change what the network computes.
    if left := [node for node in graph.nodes if node.output not in used]:
        raise not_importable(graph, f"{left[0].operator} is not understood")
    return Match(model, layers, features, classifier)


def _backbone_config(graph: Graph) -> tuple[ModelConfig, int]:
    """The MobileNetV2 that it may be, without a head, and the tensor of its features."""
    stem = _only(graph.consumers(graph.input))
    if not isinstance(stem, Convolution) or stem.depthwise or stem.activation != "relu6":
        raise not_importable(
            graph, f"it begins with {_names(graph.consumers(graph.input))}, not as MobileNetV2 does"
        )
    convolutions = [node for node in graph.nodes if isinstance(node, Convolution)]
    ends = [stem, *(node for node in convolutions if _is_projection(graph, node))]
    nominal = nominal_widths("mobilenet_v2")
    if len(ends) != len(nominal):
        inside = [node for node in convolutions if node.depthwise and node.activation == "relu6"]
        # The first that ends in no projection, else where they end.
        readers = [graph.consumers(node.output) for node in (*inside, ends[-1])]
        follows = next(nodes for nodes in readers if not any(node in ends for node in nodes))
        raise not_importable(
            graph,
            f"it has {len(ends) - 1} of the {len(nominal) - 1} inverted residuals of MobileNetV2; "
            f"what follows is {_names(follows)}",
        )
    widths = {path: node.bias.size for path, node in zip(nominal, ends, strict=True)}
    scale = depth_multiplier("mobilenet_v2", widths)
    if scale is None:
        found = ", ".join(map(str, widths.values()))
        raise not_importable(graph, f"the widths {found} follow from no depth multiplier")
    inside = convolutions[: convolutions.index(ends[-1]) + 1]
    stride = math.prod(node.stride for node in inside)
    if stride not in OUTPUT_STRIDES:
        raise not_importable(graph, f"its output stride is {stride}, none of {OUTPUT_STRIDES}")
    multiplier, divisor = scale
    config = ModelConfig(
        "mobilenet_v2",
        output_stride=stride,
        depth_multiplier=multiplier,
        backbone_options={"divisible_by": divisor} if divisor else {},
    )
    return config, ends[-1].output


def _is_projection(graph: Graph, node: Convolution) -> bool:
    """Whether it may be the linear end of an inverted residual."""
    inside = graph.producer(node.input)
    linear = node.is_pointwise and node.activation == "linear"
    return linear and isinstance(inside, Convolution) and inside.depthwise


def _classifier(graph: Graph, features: int) -> tuple[Node, ...] | None:
    """What follows the features of a classifier; None if this is no classifier.

    A classifier goes on with one 1x1 convolution of its own and then the mean of the image.
    """
    if features == graph.output:
        return ()
    widest = _only(graph.consumers(features))
    if not (isinstance(widest, Convolution) and widest.is_pointwise):
        return None
    pool = _only(graph.consumers(widest.output))
    is_pooled = isinstance(pool, Step) and pool.kind in _POOLS
    if widest.activation != "relu6" or not (is_pooled or widest.output == graph.output):
        return None
    return tuple(_chain(graph, features, _CLASSIFIER, "in a classifier"))


def _chain(graph: Graph, tensor: int, kinds: Sequence[str], where: str) -> Iterator[Node]:
    """The nodes from a tensor to the result, each of which alone reads the one before."""
    while tensor != graph.output:
        readers = graph.consumers(tensor)
        node = _only(readers)
        if node is None or node.operator.kind not in kinds:
            what = "is not understood" if readers else "makes its result"
            raise not_importable(graph, f"{_names(readers)} {where} {what}")
        yield node
        tensor = node.output


def _with_head(config: ModelConfig, graph: Graph, features: int) -> ModelConfig:
    """The configuration with the ASPP and the logits that it may be."""
    convolutions = [node for node in graph.nodes if isinstance(node, Convolution)]
    readers = [node for node in convolutions if node.input == features and node.is_pointwise]
    if not readers:
        raise not_importable(graph, "ASPP without its 1x1 convolution is not understood")
    begins = list(_begins_of_branches(graph, features))
    return dataclasses.replace(
        config,
        num_classes=convolutions[-1].bias.size,
        atrous_rates=tuple(node.rate for node in begins if isinstance(node, Convolution)),
        image_pooling=any(isinstance(node, Step) for node in begins),
        decoder=False,
        aspp_channels=readers[0].bias.size,
    )


def _begins_of_branches(graph: Graph, features: int) -> Iterator[Node]:
    """The first nodes of the branches of ASPP that have several, in the order of joining."""
    kinds = ((node, node.operator.kind) for node in graph.nodes)
    join = next((node for node, kind in kinds if kind == "CONCATENATION"), None)
    for end in join.inputs if join else ():
        node = graph.producer(end)
        while node is not None and node.inputs[:1] != (features,):
            node = graph.producer(node.inputs[0]) if node.inputs else None
        if node is not None and not (isinstance(node, Convolution) and node.is_pointwise):
            yield node


def _follow(
    graph: Graph, network: keras.Model, output_stride: int
) -> tuple[dict[str, Convolution], list[Node], int]:
    """Goes along our network and the graph at once, from the input on.

    Returns:
        The convolutions of the graph by our paths, all nodes that are layers of ours, and the
        tensor that is our output.
    """
    names = {layer.name for layer in network.layers}
    layers: dict[str, Convolution] = {}
    nodes: list[Node] = []
    # Our tensors, by identity, -> those of the graph.
    tensors = {id(network.inputs[0]): graph.input}
    for layer in network.layers[1:]:
        inputs = tuple(tensors[id(tensor)] for tensor in keras.tree.flatten(layer.input))
        readers = [node for node in graph.consumers(inputs[0]) if node not in nodes]
        path = layer.name.replace(".", "/")
        node: Node | None
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            ours = next((a for a in ("relu", "relu6") if f"{layer.name}.{a}" in names), "linear")
            node = layers[path] = _convolution(graph, layer, ours, readers, output_stride)
        else:
            node = _step(graph, layer, inputs, readers)
        if node is not None:
            nodes.append(node)
        tensors[id(layer.output)] = node.output if node else inputs[0]
    return layers, nodes, tensors[id(network.outputs[0])]


def _convolution(
    graph: Graph, layer: keras.Layer, activation: str, readers: list[Node], output_stride: int
) -> Convolution:
    """The one of several readers of a tensor that is a convolution of ours, weights aside."""
    kernel, depthwise = tuple(layer.kernel.shape), isinstance(layer, keras.layers.DepthwiseConv2D)
    stride, rate = layer.strides[0], layer.dilation_rate[0]

    def agreement(node: Convolution) -> int:
        same = (node.stride, node.rate) == (stride, rate)
        return (node.kernel.shape == kernel) + same + (node.activation == activation)

    alike = [n for n in readers if isinstance(n, Convolution) and n.depthwise == depthwise]
    if not alike:
        raise _nothing_for(graph, layer, readers)
    node = max(alike, key=agreement)
    if node.kernel.shape != kernel:
        why = f"has a kernel {node.kernel.shape}, here {kernel}"
    elif (node.stride, node.rate) != (stride, rate):
        why = (
            f"has stride {node.stride} and rate {node.rate}, here {stride} and {rate} at output "
            f"stride {output_stride}"
        )
    elif node.activation != activation:
        why = f"has the activation {node.activation}, here {activation}"
    elif not (np.isfinite(node.kernel).all() and np.isfinite(node.bias).all()):
        why = "has weights that are no finite numbers"
    else:
        return node
    path = layer.name.replace(".", "/")
    raise not_importable(graph, f"{node.operator}, taken for {path}, {why}")


def _step(
    graph: Graph, layer: keras.Layer, inputs: tuple[int, ...], readers: list[Node]
) -> Step | None:
    """The operator that is a layer of ours; None for what is part of a convolution there."""
    if type(layer) not in _STEPS:
        return None
    # Two sizes are the second input of a resize, which a file may also leave out.
    resizes = isinstance(layer, ResizeLike)
    wanted = inputs[:1] if resizes else inputs
    for node in readers:
        if not isinstance(node, Step) or node.kind not in _STEPS[type(layer)]:
            continue
        same = (
            sorted(node.inputs) == sorted(wanted) if node.kind == "ADD" else node.inputs == wanted
        )
        if same and not node.operator.options.get("fusedActivationFunction"):
            if node.kind in _POOLS:
                _check_pool(graph, node)
            return node
    if resizes:
        return None
    raise _nothing_for(graph, layer, readers)


def _nothing_for(graph: Graph, layer: keras.Layer, readers: list[Node]) -> DeepLabError:
    follows = _names(readers)
    if layer.name == "logits" and any(n.operator.kind == "RESIZE_BILINEAR" for n in readers):
        why = f"{follows} behind ASPP belongs to a decoder, which is not understood"
    else:
        why = f"it has nothing for {layer.name.replace('.', '/')}: what follows is {follows}"
    return not_importable(graph, why)


def _check_pool(graph: Graph, pool: Step) -> None:
    """The mean must be over the whole map of the file."""
    height, width = graph.file.tensors[pool.operator.inputs[0]].shape[1:3]
    if pool.kind == "MEAN":
        axes = [graph.file.tensors[number].data for number in pool.operator.inputs[1:]]
        whole = [sorted(np.ravel(axis).tolist()) for axis in axes if axis is not None] == [[1, 2]]
    else:
        options = pool.operator.options
        whole = (options["filterHeight"], options["filterWidth"]) == (height, width)
    if not whole or graph.file.tensors[pool.operator.outputs[0]].shape[1:3] != (1, 1):
        raise not_importable(
            graph, f"{pool.operator} pools a part of the {height}x{width} map: not understood"
        )


def _check_resizes(graph: Graph, nodes: Sequence[Node]) -> None:
    for node in nodes:
        operator = node.operator
        if operator.kind == "RESIZE_BILINEAR" and not operator.options.get("alignCorners"):
            raise not_importable(
                graph, f"{operator} resizes without aligned corners: this is not understood"
            )


def _only(nodes: Sequence[Node]) -> Node | None:
    return nodes[0] if len(nodes) == 1 else None


def _names(nodes: Sequence[Node]) -> str:
    return ", ".join(str(node.operator) for node in nodes[:3]) or "nothing"


def not_importable(graph: Graph, why: str) -> DeepLabError:
    """The error for a graph that is not one of ours."""
    return DeepLabError(f"{graph.file.path} is not a network that can be imported: {why}")
