"""Reading and pruning a TensorFlow graph as plain nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import tensorflow as tf

Graph: TypeAlias = tf.compat.v1.GraphDef
Node: TypeAlias = tf.compat.v1.NodeDef
Nodes: TypeAlias = Mapping[str, Node]


def nodes_by_name(graph: Graph) -> dict[str, Node]:
    """The nodes of a graph; a change of one is a change of the graph."""
    return {node.name: node for node in graph.node}


def node_name(tensor_name: str) -> str:
    """The node that a tensor, or a control input, comes from."""
    return tensor_name.removeprefix("^").split(":")[0]


def count_users(graph: Graph) -> dict[str, int]:
    """Node -> how often others read it."""
    users: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            users[node_name(name)] = users.get(node_name(name), 0) + 1
    return users


def constant(name: str, nodes: Nodes) -> np.ndarray | None:
    """The value of a tensor that is a constant; None for others."""
    node = nodes[node_name(name)]
    while node.op == "Identity":
        node = nodes[node_name(node.input[0])]
    return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None


def needed(graph: Graph, outputs: Iterable[str]) -> Graph:
    """The nodes that the outputs depend on: what a rewrite has replaced is not among them.

    Control inputs go: nothing in a frozen graph has an effect, and they would hold on to the
    reading of every variable.

    Args:
        graph: of which the nodes lose their control inputs.
        outputs: names of nodes.
    """
    nodes = nodes_by_name(graph)
    for node in nodes.values():
        data_inputs = [name for name in node.input if not name.startswith("^")]
        del node.input[:]
        node.input.extend(data_inputs)
    found, waiting = set(), list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(map(node_name, nodes[name].input))
    kept = Graph(versions=graph.versions)
    kept.node.extend(node for node in graph.node if node.name in found)
    return kept
