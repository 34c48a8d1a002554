"""Small files of the original, made for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from deeplab.interop.tf1.names import original_names
from deeplab.models import DeepLabModel, variables_by_path


def original_values(model: DeepLabModel) -> dict[str, np.ndarray]:
    """A value for every variable of a model, by the original's name."""
    variables = variables_by_path(model)
    random = np.random.default_rng(4)
    return {
        name: random.uniform(0.1, 1, variables[path].shape).astype(np.float32)
        for path, name in original_names(model).items()
    }


def write_checkpoint(path: Path, values: Mapping[str, np.ndarray]) -> str:
    """Writes a checkpoint in the V2 format; returns its prefix."""
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=list(values.values()),
    )
    return str(path)


def write_frozen_graph(path: Path, values: Mapping[str, np.ndarray]) -> str:
    """Writes a graph whose constants are the values, among nodes that hold none."""
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="ImageTensor", op="Placeholder")
    for name, value in {"ResizeBilinear/size": np.array([65, 65]), **values}.items():
        node = graph.node.add(name=name, op="Const")
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        graph.node.add(name=f"{name}/read", op="Identity").input.append(name)
    path.write_bytes(graph.SerializeToString())
    return str(path)
