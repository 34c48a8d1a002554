"""A function as a graph of constants, for what is not TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

# There is no public name for it; TensorFlow's own converters use this one.
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from deeplab.export.graph import Graph, needed


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
    """The graph of a function, its variables as constants.

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
        frozen.graph.as_graph_def(),
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
