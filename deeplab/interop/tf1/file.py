"""The files that hold variables of the original: checkpoints and frozen graphs."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from deeplab.errors import DeepLabError
from deeplab.interop.loading import Stored
from deeplab.paths import for_reading

# What a frozen graph's constants are called that were variables, behind the last slash.
_VARIABLES = frozenset(
    {
        "weights",
        "depthwise_weights",
        "pointwise_weights",
        "biases",
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
    }
)
# A protocol buffer cannot be larger. A constant of equal values is stored as one value, so that a
# small file can claim any size.
_LARGEST_GRAPH = 2**31 - 1
# Other files of a checkpoint, which people pass instead of its prefix.
_CHECKPOINT_FILE = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


def open_variables(path: str | Path) -> Stored:
    """Finds the variables of a checkpoint or a frozen graph; reads none of a checkpoint yet.

    Args:
        path: the prefix of a checkpoint (one of its files will do), or a .pb file.

    Raises:
        DeepLabError: if it is neither, or batch norm is folded away in the graph.
    """
    name = str(path)
    if Path(name).is_dir():
        prefixes = sorted(str(p.with_suffix("")) for p in Path(name).glob("*.index"))
        found = f"such as {prefixes[-1]}" if prefixes else "of which there is none in it"
        raise DeepLabError(f"{name} is a folder; expected the prefix of a checkpoint, {found}")
    if name.endswith((".tar.gz", ".tgz", ".tar", ".zip")):
        raise DeepLabError(
            f"{name} is an archive: unpack it first, or use --source=model_zoo if its name is one "
            "of the original's model zoo"
        )
    return _open_graph(name) if name.endswith(".pb") else _open_checkpoint(name)


def _open_checkpoint(path: str) -> Stored:
    prefix = _CHECKPOINT_FILE.sub("", path)
    try:
        reader = tf.train.load_checkpoint(for_reading(prefix))
        shapes = {k: tuple(v) for k, v in reader.get_variable_to_shape_map().items()}
    except (ValueError, tf.errors.OpError) as error:
        raise DeepLabError(
            f"{prefix}: no readable TensorFlow checkpoint (expected {prefix}.index and its data)"
        ) from error

    def read(name: str) -> np.ndarray:
        try:
            return reader.get_tensor(name)
        except (ValueError, IndexError, tf.errors.OpError) as error:
            raise DeepLabError(
                f"{prefix}: {name} cannot be read: the data of the checkpoint are missing, "
                "incomplete or damaged"
            ) from error

    return Stored(prefix, dict(sorted(shapes.items())), read)


def _open_graph(path: str) -> Stored:
    graph = _read_graph(path)
    constants = {
        node.name: node.attr["value"].tensor
        for node in graph.node
        if node.op == "Const" and node.name.rpartition("/")[2] in _VARIABLES
    }
    shapes = {
        name: tuple(size.size for size in tensor.tensor_shape.dim)
        for name, tensor in constants.items()
    }
    if not constants:
        raise DeepLabError(f"{path}: no constant of the graph has the name of a variable")
    if not any(name.endswith("/moving_variance") for name in constants):
        raise DeepLabError(
            f"{path}: batch norm was folded into the convolutions of this graph (it has "
            f"{len(constants)} weights but no moving_variance), so that its variables are lost; "
            "import the checkpoint that it was made of"
        )
    numbers = sum(math.prod(shape) for shape in shapes.values())
    if numbers * 4 > _LARGEST_GRAPH or any(size < 0 for s in shapes.values() for size in s):
        raise DeepLabError(f"{path}: the constants claim impossible sizes, {numbers:,} numbers")

    def read(name: str) -> np.ndarray:
        try:
            return tf.make_ndarray(constants[name])
        except (ValueError, TypeError) as error:
            raise DeepLabError(f"{path}: the constant {name} is damaged") from error

    return Stored(path, dict(sorted(shapes.items())), read)


def _read_graph(path: str) -> tf.compat.v1.GraphDef:
    graph = tf.compat.v1.GraphDef()
    try:
        if Path(path).stat().st_size > _LARGEST_GRAPH:
            raise DeepLabError(f"{path} is larger than 2 GB, which no graph can be")
        graph.ParseFromString(Path(path).read_bytes())
    except OSError as error:
        raise DeepLabError(f"{path} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise DeepLabError(f"{path} is no frozen graph (no GraphDef can be read)") from error
    if not graph.node:
        raise DeepLabError(f"{path} is no frozen graph (it has no nodes)")
    return graph
