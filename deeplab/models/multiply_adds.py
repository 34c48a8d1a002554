"""What a network costs: multiply-adds and parameters, part by part.

A multiply-add is one multiplication with one addition in a convolution, at the true size of its
output; batch norm, biases, sums, activations and resizes are left out, as is usual (they are about
one percent). The numbers of the DeepLab papers come from TensorFlow's profiler and hold a little
more: those other operations, and the padding by which TensorFlow 1 made atrous convolutions.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import keras

from deeplab.models.config import ModelConfig
from deeplab.models.deeplab_v3_plus import DeepLabModel, build_model
from deeplab.models.quantization import RANGES
from deeplab.models.resize import scaled_size
from deeplab.models.variables import variables_by_path

PARTS = ("backbone", "aspp", "decoder", "logits")


def multiply_adds(config: ModelConfig, *, height: int, width: int) -> dict[str, int]:
    """Multiply-adds for one image, of the parts that the network has.

    Args:
        config: the network, with `num_classes`. With an image pyramid every scale counts.
        height: of the image in pixels.
        width: of the image in pixels.

    Returns:
        a number for each of `PARTS`, in this order, absent where the network has no such part. A
        dense prediction cell counts as "aspp".
    """
    single = dataclasses.replace(config, image_pyramid=(1.0,))
    counts: Counter[str] = Counter()
    for scale in config.image_pyramid:
        size = (scaled_size(height, scale), scaled_size(width, scale))
        for layer in build_model(single, image_size=size).layers:
            if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
                counts[_part(layer.name)] += _of_convolution(layer)
    return {part: counts[part] for part in PARTS if part in counts}


def parameters(model: DeepLabModel) -> dict[str, int]:
    """Numbers in the variables, moving statistics included; keys as in `multiply_adds`.

    Ranges of features are left out.
    """
    counts: Counter[str] = Counter()
    for path, variable in variables_by_path(model).items():
        if path.split("/")[0] == RANGES:
            continue
        counts[_part(path)] += math.prod(variable.shape)
    return {part: counts[part] for part in PARTS if part in counts}


def _of_convolution(layer: keras.layers.Layer) -> int:
    _, height, width, _ = layer.output.shape
    return height * width * math.prod(layer.kernel.shape)


def _part(name: str) -> str:
    """The part of a layer or a variable by the beginning of its name."""
    if name.startswith("dense_prediction_cell"):
        return "aspp"
    return next(part for part in PARTS if name.startswith(part))
