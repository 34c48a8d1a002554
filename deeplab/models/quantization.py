"""Quantization-aware training: a network that computes as its 8-bit file will.

Kernels have a range per output channel, symmetric around 0, from the kernel of the moment. Scaling
a channel scales its range: rounding before or after batch norm is folded in gives the same network.
So batch norm stays as it is, trained or frozen, and exports fold it as ever.

Features have one range per tensor, measured in training, stored under `quantization/`. The tensors
are those that LiteRT stores: what lies between a convolution, its batch norm and its ReLU is none.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any, TypeAlias

import keras

from deeplab import checks
from deeplab.errors import DeepLabError
from deeplab.models.batch_norm import BatchNorm
from deeplab.models.pooling import WindowAverage
from deeplab.models.resize import ResizeLike
from deeplab.models.rounding import FeatureRange, RoundedConv2D, RoundedDepthwiseConv2D

# What the paths of ranges begin with, beside "backbone", "aspp" and so on: a part that a network
# without quantization does not have.
RANGES = "quantization"

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
_WITH_RELU = (*_CONVOLUTIONS, BatchNorm, keras.layers.Add)
# Layers whose outputs have a range of their own ...
_ROUNDED = (
    *_WITH_RELU,
    WindowAverage,
    keras.layers.Concatenate,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.ReLU,
    keras.layers.Rescaling,
)
# ... and those whose outputs have the range of what they read.
_UNROUNDED = (
    ResizeLike,
    keras.layers.Dropout,
    keras.layers.InputLayer,
    keras.layers.MaxPooling2D,
    keras.layers.ZeroPadding2D,
)

_Kinds: TypeAlias = dict[type[keras.layers.Layer], type[keras.layers.Layer]]

_IN_8_BITS: _Kinds = {
    keras.layers.Conv2D: RoundedConv2D,
    keras.layers.DepthwiseConv2D: RoundedDepthwiseConv2D,
}
_IN_FLOAT: _Kinds = {rounded: kind for kind, rounded in _IN_8_BITS.items()}


@dataclasses.dataclass(frozen=True)
class QuantConfig:
    """Quantization-aware training: kernels of 8 bits per channel, features of 8 bits per tensor.

    Kernels are rounded from the first step on, features once their ranges have been measured. Until
    then evaluation does not round them either.

    Attributes:
        observe_steps: training steps whose smallest and largest values are averaged to the range of
            each feature (with `TrainConfig.accumulation_steps`: passes through the network).
        range_momentum: share of the old range that is kept at each later step; 1: ranges stay as
            they were measured, as befits a network that was trained before.

    Raises:
        DeepLabError: for a wrong type or a value out of range.
    """

    observe_steps: int = 100
    range_momentum: float = 1.0

    def __post_init__(self) -> None:
        """Checks every value."""
        checks.integer("observe_steps", self.observe_steps, minimum=1)
        checks.number("range_momentum", self.range_momentum, minimum=0, maximum=1)


def quantized(network: keras.Model, config: QuantConfig) -> keras.Model:
    """A network of the same layers and outputs that rounds its kernels and features.

    Args:
        network: functional; each layer is used once.
        config: how ranges are measured.

    Returns:
        The network with fresh weights of the same names, and ranges besides.

    Raises:
        DeepLabError: for a layer whose 8-bit form is not known.
    """
    rounded = _rounded(network)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        if layer.name in rounded:
            measure = FeatureRange(**dataclasses.asdict(config), name=f"{RANGES}.{layer.name}")
            outputs = measure(outputs)
        return outputs

    return keras.models.clone_model(
        network, clone_function=lambda layer: _copy(layer, _IN_8_BITS), call_function=call
    )


def with_fixed_ranges(model: keras.Model) -> keras.Model:
    """A quantized network for converters, which know ranges of features and round kernels alone.

    Raises:
        DeepLabError: if the ranges have not been measured yet.
    """

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.fixed() if isinstance(layer, FeatureRange) else _copy(layer, _IN_FLOAT)

    network = keras.Model(model.input, model.output)
    fixed = keras.models.clone_model(network, clone_function=copy)
    copy_weights(model, fixed)
    return fixed


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Gives the layers of one network the weights of those of another with the same names."""
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def _copy(layer: keras.layers.Layer, kinds: _Kinds) -> keras.layers.Layer:
    return kinds.get(type(layer), type(layer)).from_config(layer.get_config())


def _rounded(network: keras.Model) -> set[str]:
    """The names of the layers whose outputs LiteRT stores, in a range of their own."""
    users: dict[int, list[keras.layers.Layer]] = defaultdict(list)
    for layer in network.layers:
        for tensor in _inputs(layer):
            users[id(tensor)].append(layer)
    normalized = set()
    rounded = set()
    for layer in network.layers:
        following = users[id(layer.output)]
        follower = following[0] if len(following) == 1 else None
        if isinstance(layer, _CONVOLUTIONS) and isinstance(follower, BatchNorm):
            normalized.add(follower.name)
            continue
        if isinstance(layer, _UNROUNDED) or _is_linear(layer):
            continue
        if not isinstance(layer, _ROUNDED):
            raise _unknown(layer, f"is a {_kind(layer)}")
        if isinstance(layer, BatchNorm) and layer.name not in normalized:
            raise _unknown(layer, "normalizes what is not the output of a convolution")
        if not (isinstance(layer, _WITH_RELU) and isinstance(follower, keras.layers.ReLU)):
            rounded.add(layer.name)
    return rounded


def _inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _is_linear(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Activation) and _kind(layer) == "linear"


def _kind(layer: keras.layers.Layer) -> str:
    return getattr(getattr(layer, "activation", layer), "__name__", type(layer).__name__)


def _unknown(layer: keras.layers.Layer, what: str) -> DeepLabError:
    return DeepLabError(f"this network cannot be trained quantized: its layer {layer.name} {what}")
