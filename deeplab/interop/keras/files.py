"""The variables in files of Keras, by the names of layers: HDF5 of Keras 2 and 3, SavedModels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2 as graph_pb2

from deeplab.errors import DeepLabError
from deeplab.interop.loading import Stored
from deeplab.interop.report import Shapes
from deeplab.paths import for_reading

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SUFFIXES = (".h5", ".hdf5")


# Class of a layer, as Keras 3 counts them in files -> its variables, in their order.
_VARIABLES = {
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
}


class Layer(NamedTuple):
    """A layer with variables: its name, and its class in words of Keras 3."""

    name: str
    kind: str


def open_keras(path: str, models: Sequence[Sequence[Layer]]) -> Stored:
    """The variables in a file of Keras, named LAYER/VARIABLE.

    Args:
        path: a `.h5` file, of weights or of a whole model; a `.weights.h5` file of Keras 3; or the
            folder of a SavedModel.
        models: the layers of each model that it may be of, in order; earlier versions of Keras 3
            name layers by nothing but that.

    Raises:
        DeepLabError: if it cannot be read, or is something else.
    """
    place = Path(path)
    if place.is_dir():
        found = [f for suffix in _SUFFIXES for f in sorted(place.glob(f"*{suffix}"))]
        if (place / "variables" / "variables.index").is_file():
            return _open_saved_model(place)
        if len(found) != 1:
            raise DeepLabError(
                f"{path} is no SavedModel (it has no variables/variables.index) and has "
                f"{len(found)} .h5 files instead of one"
            )
        place = found[0]
    if place.suffix not in _SUFFIXES:
        raise DeepLabError(
            f"{path} is no file of Keras that is read here: .h5, .weights.h5, or the folder of a "
            "SavedModel"
        )
    return _open_h5(place, models)


def _open_h5(path: Path, models: Sequence[Sequence[Layer]]) -> Stored:
    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "model_weights" in file else file
            if "layer_names" in root.attrs:
                places = _places_keras_2(root)
            elif "layers" in root:
                places = _places_keras_3(root["layers"], models)
            else:
                raise DeepLabError(f"{path} holds no weights of Keras: {', '.join(root) or '-'}")
            shapes = {name: tuple(file[place].shape) for name, place in places.items()}
    except (OSError, KeyError, AttributeError) as error:
        raise DeepLabError(f"{path} cannot be read as HDF5: {error}") from error

    def read(name: str) -> np.ndarray:
        with h5py.File(path, "r") as file:
            return np.asarray(file[places[name]])

    return Stored(str(path), shapes, read)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _places_keras_2(root: h5py.Group) -> dict[str, str]:
    """LAYER/VARIABLE -> place in the file, by the lists of names that Keras 2 keeps."""
    places = {}
    for layer in map(_text, root.attrs["layer_names"]):
        for weight in map(_text, root[layer].attrs["weight_names"]):
            # Whole names differ by what stood around the layer when it was made.
            leaf = weight.rpartition("/")[2].removesuffix(":0")
            leaf = leaf.removeprefix("depthwise_")  # of a kernel
            places[f"{layer}/{leaf}"] = f"{root[layer].name}/{weight}"
    return places


def _places_keras_3(group: h5py.Group, models: Sequence[Sequence[Layer]]) -> dict[str, str]:
    """LAYER/VARIABLE -> place in the file, where layers are called by their classes, counted."""
    held = {key: group[key]["vars"] for key in group if len(group[key].get("vars", ()))}
    names = {key: _text(held[key].attrs["name"]) for key in held if "name" in held[key].attrs}
    for layers in () if names else models:
        keys = _counted(layers)
        # The classifier, if there is one, is the only dense layer.
        if keys.keys() == held.keys() - {"dense"}:
            names = {**keys, "dense": "predictions"}
    places = {}
    for key, variables in held.items():
        leaves = _VARIABLES.get(re.sub(r"_\d+$", "", key), ())
        for leaf, index in zip(leaves, range(len(variables)), strict=False):
            places[f"{names.get(key, key)}/{leaf}"] = f"{variables.name}/{index}"
    return places


def _counted(layers: Sequence[Layer]) -> dict[str, str]:
    """What Keras 3 calls layers in a file -> their names."""
    counts: Counter[str] = Counter()
    names = {}
    for layer in layers:
        count = counts[layer.kind]
        counts[layer.kind] += 1
        names[f"{layer.kind}_{count}" if count else layer.kind] = layer.name
    return names


def _open_saved_model(folder: Path) -> Stored:
    """By the object graph of its checkpoint: Keras 3 loads no SavedModel of Keras 2."""
    prefix = folder / "variables" / "variables"
    try:
        reader = tf.train.load_checkpoint(for_reading(prefix))
        shapes_by_key = reader.get_variable_to_shape_map()
        if _GRAPH not in shapes_by_key:
            raise DeepLabError(f"{prefix} is no checkpoint of objects")
        graph = graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH))
    except (ValueError, DecodeError, tf.errors.OpError) as error:
        raise DeepLabError(f"{prefix} cannot be read as a checkpoint: {error}") from error
    keys: dict[str, str] = {}
    # Only what hangs on a layer: optimizers and metrics are beside.
    for child in graph.nodes[0].children:
        if re.fullmatch(r"layer_with_weights-\d+", child.local_name):
            for variable in graph.nodes[child.node_id].children:
                for attribute in graph.nodes[variable.node_id].attributes:
                    if attribute.checkpoint_key in shapes_by_key:
                        keys[_full_name(attribute.full_name)] = attribute.checkpoint_key
    shapes: Shapes = {name: tuple(shapes_by_key[key]) for name, key in keys.items()}

    def read(name: str) -> np.ndarray:
        try:
            return reader.get_tensor(keys[name])
        except (ValueError, tf.errors.OpError) as error:
            raise DeepLabError(f"{prefix}: {name} cannot be read: {error}") from error

    return Stored(str(folder), shapes, read)


def _full_name(name: str) -> str:
    """The layer and the variable of a name, whatever stood around the layer."""
    return "/".join(name.split("/")[-2:])


def folded(
    stored: Stored,
    *,
    biases: Mapping[str, str],
    variance_shifts: Mapping[str, float] | None = None,
    reversed_inputs: Collection[str] = (),
) -> Stored:
    """A file as a network without biases before batch norm has it.

    gamma (x + b - mean) / sqrt(variance + epsilon) is the same with the mean less b, and with the
    variance more by how much epsilon is larger there than here.

    Args:
        stored: the file.
        biases: name of a bias -> that of the moving mean behind it.
        variance_shifts: name of a moving variance -> what is added to it.
        reversed_inputs: kernels whose input channels come in the order B, G, R.
    """
    bias_of = {mean: bias for bias, mean in biases.items()}
    shifts = variance_shifts or {}

    def read(name: str) -> np.ndarray:
        value = stored.read(name)
        if name in bias_of:
            value = value - stored.read(bias_of[name])
        if name in shifts:
            value = value + np.float32(shifts[name])
        return value[:, :, ::-1] if name in reversed_inputs else value

    return Stored(stored.path, stored.shapes, read)
