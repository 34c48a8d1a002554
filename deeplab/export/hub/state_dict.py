"""Variables of a network as a file of tensors of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from deeplab import files
from deeplab.extras import needs_extra
from deeplab.interop.hub import layout
from deeplab.models import DeepLabModel
from deeplab.models.batch_norm import BatchNorm

StateDict = dict[str, np.ndarray]

WEIGHTS = "model.safetensors"


def state_dict(
    model: DeepLabModel, names: Mapping[str, str], *, epsilon: Callable[[str], float]
) -> StateDict:
    """The tensors of a module of PyTorch, with the counters of its batch norms.

    gamma (x - mean) / sqrt(variance + epsilon) stays the same where epsilon is smaller there: the
    variance is more by the difference.

    Args:
        model: the network.
        names: our path of a variable -> its name there; those of other variables are left out.
        epsilon: that of the batch norm there which a tensor of the name belongs to.

    Returns:
        float32, and int64 scalars.
    """
    tensors: StateDict = {}
    for layer in model.layers:
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        for variable in layer.weights:
            name = names.get(f"{layer.name.replace('.', '/')}/{variable.name}")
            if name is None:
                continue
            value = variable.numpy()
            if isinstance(layer, BatchNorm) and variable is layer.moving_variance:
                value = value + np.float32(layer.epsilon - epsilon(name))
                tensors[f"{name.rpartition('.')[0]}.{layout.COUNTER}"] = np.zeros((), np.int64)
            tensors[name] = layout.for_torch(value, depthwise=depthwise)
    return tensors


def fresh_batch_norm(name: str, channels: int) -> StateDict:
    """The tensors of a batch norm that nothing was learned for."""
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    values = {"gamma": ones, "beta": zeros, "moving_mean": zeros, "moving_variance": ones}
    tensors = {f"{name}.{layout.LEAVES[leaf]}": value for leaf, value in values.items()}
    return {**tensors, f"{name}.{layout.COUNTER}": np.zeros((), np.int64)}


def write_weights(folder: Path, tensors: StateDict) -> None:
    """Writes `WEIGHTS` into a folder.

    Raises:
        DeepLabError: if that fails.
    """
    path = folder / WEIGHTS
    with needs_extra("hub", path.name):
        from safetensors.numpy import save
    # By this word libraries know that the layout is that of PyTorch. Not `save_file`, whose files
    # nobody but their owner may read.
    files.write_bytes(path, save(tensors, metadata={"format": "pt"}))
