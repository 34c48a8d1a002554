"""Turns a Keras model into a graph of constants with batch norm folded into the convolutions.

A graph with variables keeps batch norm as operations of its own. Frozen and folded, a convolution
is followed by a bias and an activation only, which TensorFlow's graph optimizer then runs as one
operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# There is no public name for it; TensorFlow's own converters use this one.
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from deeplab.export.graph import (
    Graph,
    Node,
    Nodes,
    constant,
    count_users,
    needed,
    node_name,
    nodes_by_name,
)

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
# May stand between a convolution and its batch norm: an atrous depthwise convolution is computed on
# a regrouped batch. Both leave channels alone, so the scale can be moved across them.
_TRANSPARENT = ("Identity", "BatchToSpaceND")


class FrozenGraph(NamedTuple):
    """A graph without variables and functions.

    Attributes:
        graph: its nodes.
        input: name of the tensor that goes in.
        outputs: names of the tensors that come out.
        specs: type and shape of each of them.
    """

    graph: Graph
    input: str
    outputs: tuple[str, ...]
    specs: tuple[tf.TensorSpec, ...]


def frozen_graph(
    function: Callable[[tf.Tensor], tf.Tensor | Mapping[str, tf.Tensor]], signature: tf.TensorSpec
) -> FrozenGraph:
    """The graph of a function, with every batch norm folded into the convolution before it.

    Args:
        function: one tensor to one tensor, or to several by name; may use variables.
        signature: type and shape of the argument.

    Returns:
        The graph; several outputs stand in alphabetical order of their names.
    """
    concrete = tf.function(function).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(concrete)
    (argument,) = frozen.inputs
    graph = needed(
        fold_batch_norms(frozen.graph.as_graph_def()),
        [tensor.op.name for tensor in (argument, *frozen.outputs)],
    )
    return FrozenGraph(
        graph,
        argument.name,
        tuple(tensor.name for tensor in frozen.outputs),
        tuple(tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in frozen.outputs),
    )


def as_function(
    frozen: FrozenGraph, signature: tf.TensorSpec
) -> tf.types.experimental.ConcreteFunction:
    """A graph of one output as a function of its argument."""

    def imported(argument: tf.Tensor) -> tf.Tensor:
        (result,) = tf.graph_util.import_graph_def(
            frozen.graph,
            input_map={frozen.input: argument},
            return_elements=list(frozen.outputs),
            name="",
        )
        result.set_shape(frozen.specs[0].shape)
        return result

    return tf.compat.v1.wrap_function(imported, [signature])


def freeze(
    function: Callable[[tf.Tensor], tf.Tensor], signature: tf.TensorSpec
) -> tf.types.experimental.ConcreteFunction:
    """A function without variables.

    Args:
        function: one tensor to one tensor; may use variables.
        signature: type and shape of the argument.

    Returns:
        The same function with its variables as constants and every batch norm folded into the
        convolution before it.
    """
    return as_function(frozen_graph(function, signature), signature)


def fold_batch_norms(graph: Graph) -> Graph:
    """Replaces every inference batch norm that follows a constant convolution by a bias.

    The kernel takes the scale: gamma / sqrt(variance + epsilon) an output channel.

    Args:
        graph: without functions; stays as it is.

    Returns:
        A new graph in which each folded batch norm is a BiasAdd of the same name.
    """
    folded = Graph()
    folded.CopyFrom(graph)
    nodes, users = nodes_by_name(folded), count_users(folded)
    added = []
    for node in folded.node:
        if node.op != "FusedBatchNormV3" or node.attr["is_training"].b:
            continue
        convolution = _convolution_before(node, nodes, users)
        if convolution is None:
            continue
        kernel = constant(convolution.input[1], nodes)
        parameters = [constant(name, nodes) for name in node.input[1:5]]
        if kernel is None or any(value is None for value in parameters):
            continue
        gamma, beta, mean, variance = parameters
        scale = gamma / np.sqrt(variance + node.attr["epsilon"].f)
        shape = scale.shape if convolution.op == "Conv2D" else (*kernel.shape[2:3], 1)
        added.append(
            _const_node(f"{convolution.name}/folded_kernel", kernel * scale.reshape(shape))
        )
        convolution.input[1] = added[-1].name
        added.append(_const_node(f"{node.name}/folded_bias", beta - mean * scale))
        bias = Node(name=node.name, op="BiasAdd", device=node.device)
        bias.input.extend([node.input[0], added[-1].name])
        bias.attr["T"].CopyFrom(node.attr["T"])
        bias.attr["data_format"].CopyFrom(node.attr["data_format"])
        node.CopyFrom(bias)
    folded.node.extend(added)
    return folded


def _convolution_before(node: Node, nodes: Nodes, users: Mapping[str, int]) -> Node | None:
    before = nodes[node_name(node.input[0])]
    while before.op in _TRANSPARENT and users[before.name] == 1:
        before = nodes[node_name(before.input[0])]
    # A convolution that something else reads as well must keep its values.
    return before if before.op in _CONVOLUTIONS and users[before.name] == 1 else None


def _const_node(name: str, value: np.ndarray) -> Node:
    node = Node(name=name, op="Const")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.astype(np.float32)))
    return node
