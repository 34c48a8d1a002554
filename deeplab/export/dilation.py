"""Writes atrous convolutions as what they are.

TensorFlow's CPU has no dilated depthwise convolution: `tf.nn.depthwise_conv2d` regroups the image
into a batch of its rate-th pixels (SpaceToBatchND), convolves that, and undoes it (BatchToSpaceND).
Other runtimes dilate by themselves, and pay for the regrouping in copies of the whole feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deeplab.export.graph import (
    Graph,
    Node,
    Nodes,
    constant,
    count_users,
    node_name,
    nodes_by_name,
)

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_EXPLICIT, _SAME = b"EXPLICIT", b"SAME"


def with_dilated_convolutions(graph: Graph, *, explicit_pads: bool) -> Graph:
    """Replaces every SpaceToBatchND - convolution - BatchToSpaceND by one dilated convolution.

    TensorFlow itself does not run the result on a CPU; it is for converters.

    Args:
        graph: without functions; stays as it is.
        explicit_pads: whether the numbers of padded pixels are written out, as ONNX Runtime needs
            them at sizes that are not known; else the convolution is padded to the size of its
            input, the only padding that LiteRT has.

    Returns:
        A new graph. What is replaced is still in it, without a user.
    """
    rewritten = Graph()
    rewritten.CopyFrom(graph)
    nodes, users = nodes_by_name(rewritten), count_users(rewritten)
    for node in rewritten.node:
        parts = _regrouped_convolution(node, nodes, users)
        if parts is not None:
            node.CopyFrom(_dilated(node.name, *parts, explicit_pads=explicit_pads))
    return rewritten


def _regrouped_convolution(
    node: Node, nodes: Nodes, users: dict[str, int]
) -> tuple[Node, Node, np.ndarray, np.ndarray] | None:
    """SpaceToBatchND, convolution, its kernel and the rates, if the node ends such a group."""
    if node.op != "BatchToSpaceND":
        return None
    convolution = nodes[node_name(node.input[0])]
    if convolution.op not in _CONVOLUTIONS or users[convolution.name] != 1:
        return None
    regrouped = nodes[node_name(convolution.input[0])]
    if regrouped.op != "SpaceToBatchND":
        return None
    rates, kernel = constant(regrouped.input[1], nodes), constant(convolution.input[1], nodes)
    return None if rates is None or kernel is None else (regrouped, convolution, kernel, rates)


def _dilated(
    name: str,
    regrouped: Node,
    convolution: Node,
    kernel: np.ndarray,
    rates: np.ndarray,
    *,
    explicit_pads: bool,
) -> Node:
    """The convolution, which keeps the size of what it reads, as every atrous one here does."""
    node = Node(name=name, op=convolution.op)
    node.input.extend([regrouped.input[0], convolution.input[1]])
    for attribute in ("T", "data_format", "strides"):
        node.attr[attribute].CopyFrom(convolution.attr[attribute])
    node.attr["dilations"].list.i.extend([1, *rates.tolist(), 1])
    node.attr["padding"].s = _EXPLICIT if explicit_pads else _SAME
    if explicit_pads:
        node.attr["explicit_paddings"].list.i.extend(_pads(kernel.shape[:2], rates))
    return node


def _pads(kernel_size: Sequence[int], rates: np.ndarray) -> list[int]:
    """Pixels before and after each axis of [B,H,W,C]; the odd one is behind."""
    totals = [(size - 1) * int(rate) for size, rate in zip(kernel_size, rates, strict=True)]
    return [0, 0, *(pad for total in totals for pad in (total // 2, total - total // 2)), 0, 0]
