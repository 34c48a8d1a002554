"""How tensors of PyTorch lie in our variables, and back.

A convolution is [out,in,height,width] there and [height,width,in,out] here, a depthwise one
[channels,1,height,width] there and [height,width,channels,1] here, a dense layer [out,in] there and
[in,out] here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from deeplab.interop.hub.tensors import Tensor, Tensors
from deeplab.interop.loading import Stored
from deeplab.models.batch_norm import MINIMUM_EPSILON

# The last part of our path of a variable -> that of a name there.
LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Counts training steps.
COUNTER = "num_batches_tracked"
_COUNTER = re.compile(rf"(^|\.){COUNTER}$")
_VARIANCE = f".{LEAVES['moving_variance']}"
_DEPTHWISE = (2, 3, 0, 1)
# Axes here by those there, by how many there are.
_DENSE = {4: (2, 3, 1, 0), 2: (1, 0)}


def is_counter(name: str) -> bool:
    """Whether a tensor is of no network."""
    return bool(_COUNTER.search(name))


def stored(
    path: str,
    tensors: Tensors,
    *,
    is_depthwise: Callable[[str], bool],
    epsilon: Callable[[str], float] = lambda name: MINIMUM_EPSILON,
) -> Stored:
    """The tensors of a file as our variables have them, in float32.

    An epsilon below those that act here is made up for in the variance that it is added to.

    Args:
        path: the file, for messages.
        tensors: those of the file.
        is_depthwise: whether a name is that of the kernel of a depthwise convolution.
        epsilon: that of the batch norm which a tensor of the name belongs to.
    """
    axes = {name: _axes(tensor, is_depthwise(name)) for name, tensor in tensors.items()}
    shapes = {
        name: tuple(tensors[name].shape[axis] for axis in order) for name, order in axes.items()
    }

    def read(name: str) -> np.ndarray:
        value = tensors[name].read().transpose(axes[name])
        if not tensors[name].is_float:
            return value  # no weight; it stays what it is for the message
        value = np.asarray(value, np.float32, order="C")
        if name.endswith(_VARIANCE) and epsilon(name) < MINIMUM_EPSILON:
            value = value + np.float32(epsilon(name) - MINIMUM_EPSILON)
        return value

    return Stored(path, shapes, read)


def _axes(tensor: Tensor, depthwise: bool) -> tuple[int, ...]:
    rank = len(tensor.shape)
    return _DEPTHWISE if depthwise and rank == 4 else _DENSE.get(rank, tuple(range(rank)))


def for_torch(value: np.ndarray, *, depthwise: bool) -> np.ndarray:
    """A variable of ours as PyTorch has it; the inverse of what `stored` does."""
    order = _DEPTHWISE if depthwise and value.ndim == 4 else _DENSE.get(value.ndim)
    return np.ascontiguousarray(value.transpose(np.argsort(order))) if order else value


def conversion_lines(tensors: Tensors) -> tuple[str, ...]:
    """What the user should read of the types in a file."""
    kinds = {tensor.dtype for tensor in tensors.values() if tensor.is_float}
    other = sorted(kinds - {"float32"})
    return (f"converted {', '.join(other)} to float32",) if other else ()
