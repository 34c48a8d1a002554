"""One copy of each weight in memory, however often a function is loaded, optimized and called.

TensorFlow copies constants with every graph that holds them: of the signature, of each pass of the
optimizer, of the kernels. A variable lies beside the graph, once. docs/serving.md has the numbers:
a small part of the memory, and calls that take as long. What would make them slow is batch norm
that is not folded; of a variable too the graph optimizer fuses what follows the convolution.
"""

from __future__ import annotations

import tensorflow as tf

# Bytes from which on a constant becomes a variable. Some dozen copies of smaller ones do no harm,
# while each variable is one more thing to restore.
_SMALLEST = 2**14


def with_variables(
    function: tf.types.experimental.ConcreteFunction, signature: tf.TensorSpec
) -> tuple[tf.types.experimental.ConcreteFunction, dict[str, tf.Variable]]:
    """The same function with its large constants as variables.

    Args:
        function: one tensor to one tensor, without variables.
        signature: type and shape of the argument.

    Returns:
        The function, and its variables by the names of the constants. Whoever saves the one has to
        hold the others.
    """
    graph = function.graph.as_graph_def()
    variables = {}
    for node in graph.node:
        if node.op == "Const" and node.attr["value"].tensor.ByteSize() >= _SMALLEST:
            value = tf.make_ndarray(node.attr["value"].tensor)
            variables[node.name] = tf.Variable(value, trainable=False)
            node.op = "Placeholder"
            del node.attr["value"]
    (argument,), (result,) = function.inputs, function.outputs

    def imported(images: tf.Tensor) -> tf.Tensor:
        values = {f"{name}:0": variable.read_value() for name, variable in variables.items()}
        (output,) = tf.graph_util.import_graph_def(
            graph,
            input_map={argument.name: images, **values},
            return_elements=[result.name],
            name="",
        )
        output.set_shape(result.shape)
        return output

    compiled = tf.function(imported, input_signature=[signature], autograph=False)
    return compiled.get_concrete_function(), variables
