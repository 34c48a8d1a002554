"""Turns a Keras model into a graph of constants with batch norm folded into the convolutions.

A graph with variables keeps batch norm as operations of its own. Frozen and folded, a convolution
is followed by a bias and an activation only, which TensorFlow's graph optimizer then runs as one
operation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# There is no public name for it; TensorFlow's own converters use this one.
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
# May stand between a convolution and its batch norm: an atrous depthwise convolution is computed on
# a regrouped batch. Both leave channels alone, so the scale can be moved across them.
_TRANSPARENT = ("Identity", "BatchToSpaceND")


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
    concrete = tf.function(function).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(concrete)
    graph = _needed(fold_batch_norms(frozen.graph.as_graph_def()), frozen.outputs[0].op.name)
    (input_name,) = [tensor.name for tensor in frozen.inputs]
    (output_name,) = [tensor.name for tensor in frozen.outputs]

    def imported(argument: tf.Tensor) -> tf.Tensor:
        (result,) = tf.graph_util.import_graph_def(
            graph, input_map={input_name: argument}, return_elements=[output_name], name=""
        )
        result.set_shape(frozen.outputs[0].shape)
        return result

    return tf.compat.v1.wrap_function(imported, [signature])


def fold_batch_norms(graph: tf.compat.v1.GraphDef) -> tf.compat.v1.GraphDef:
    """Replaces every inference batch norm that follows a constant convolution by a bias.

    The kernel takes the scale: gamma / sqrt(variance + epsilon) an output channel.

    Args:
        graph: without functions; stays as it is.

    Returns:
        A new graph in which each folded batch norm is a BiasAdd of the same name.
    """
    folded = tf.compat.v1.GraphDef()
    folded.CopyFrom(graph)
    nodes = {node.name: node for node in folded.node}
    users: dict[str, int] = {}
    for node in folded.node:
        for name in node.input:
            users[_node_name(name)] = users.get(_node_name(name), 0) + 1
    added = []
    for node in folded.node:
        if node.op != "FusedBatchNormV3" or node.attr["is_training"].b:
            continue
        convolution = _convolution_before(node, nodes, users)
        if convolution is None:
            continue
        kernel = _constant(convolution.input[1], nodes)
        parameters = [_constant(name, nodes) for name in node.input[1:5]]
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
        bias = tf.compat.v1.NodeDef(name=node.name, op="BiasAdd", device=node.device)
        bias.input.extend([node.input[0], added[-1].name])
        bias.attr["T"].CopyFrom(node.attr["T"])
        bias.attr["data_format"].CopyFrom(node.attr["data_format"])
        node.CopyFrom(bias)
    folded.node.extend(added)
    return folded


def _convolution_before(
    node: tf.compat.v1.NodeDef,
    nodes: dict[str, tf.compat.v1.NodeDef],
    users: dict[str, int],
) -> tf.compat.v1.NodeDef | None:
    before = nodes[_node_name(node.input[0])]
    while before.op in _TRANSPARENT and users[before.name] == 1:
        before = nodes[_node_name(before.input[0])]
    # A convolution that something else reads as well must keep its values.
    return before if before.op in _CONVOLUTIONS and users[before.name] == 1 else None


def _constant(name: str, nodes: dict[str, tf.compat.v1.NodeDef]) -> np.ndarray | None:
    node = nodes[_node_name(name)]
    while node.op == "Identity":
        node = nodes[_node_name(node.input[0])]
    return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None


def _const_node(name: str, value: np.ndarray) -> tf.compat.v1.NodeDef:
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.astype(np.float32)))
    return node


def _needed(graph: tf.compat.v1.GraphDef, output: str) -> tf.compat.v1.GraphDef:
    """The nodes that the output depends on: the kernels before folding are not among them.

    Control inputs go: nothing in the graph has an effect, and they would hold on to the reading of
    every variable.
    """
    nodes = {node.name: node for node in graph.node}
    for node in nodes.values():
        data_inputs = [name for name in node.input if not name.startswith("^")]
        del node.input[:]
        node.input.extend(data_inputs)
    found, waiting = set(), [output]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_node_name(inputs) for inputs in nodes[name].input)
    needed = tf.compat.v1.GraphDef(versions=graph.versions)
    needed.node.extend(node for node in graph.node if node.name in found)
    return needed


def _node_name(tensor_name: str) -> str:
    return tensor_name.removeprefix("^").split(":")[0]
