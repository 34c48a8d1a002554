"""The names of Keras' ResNets, which keras.applications and keras.io's DeepLabv3+ share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from deeplab.interop.keras.files import Layer

# Our backbone -> how many units each block has.
UNITS = {"resnet_50_keras": (3, 4, 6, 3), "resnet_101_keras": (3, 4, 23, 3)}

_UNIT = re.compile(r"^backbone/block(\d+)/unit_(\d+)/(?:conv(\d)|shortcut)$")


def layer_name(layer: str) -> str:
    """The name there of a layer of our backbone, by its path."""
    kind = "conv"
    if layer.endswith("/batch_norm"):
        layer, kind = layer.removesuffix("/batch_norm"), "bn"
    if layer == "backbone/conv1":
        return f"conv1_{kind}"
    match = _UNIT.match(layer)
    if match is None:
        raise AssertionError(f"{layer} is no layer of a ResNet of Keras")
    block, unit, number = match.groups()
    return f"conv{int(block) + 1}_block{unit}_{number or 0}_{kind}"


def layers(units: Sequence[int]) -> Iterator[Layer]:
    """Those with variables, in the order of the model.

    Args:
        units: how many each block has.
    """
    yield from (Layer("conv1_conv", "conv2d"), Layer("conv1_bn", "batch_normalization"))
    for block, count in enumerate(units, start=2):
        for unit in range(1, count + 1):
            # A projection comes before the last convolution.
            for numbers in ((1,), (2,), (0, 3) if unit == 1 else (3,)):
                for suffix, kind in (("conv", "conv2d"), ("bn", "batch_normalization")):
                    for number in numbers:
                        yield Layer(f"conv{block}_block{unit}_{number}_{suffix}", kind)


def biases(layers: Iterable[Layer]) -> dict[str, str]:
    """Name of the bias of each convolution -> that of the moving mean behind it."""
    names = [layer.name for layer in layers if layer.name.endswith("_conv")]
    return {f"{name}/bias": f"{name.removesuffix('_conv')}_bn/moving_mean" for name in names}
