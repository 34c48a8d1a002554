"""How much memory training takes, predicted from the network alone."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import keras
import tensorflow as tf

from deeplab.models.config import ModelConfig
from deeplab.models.deeplab_v3_plus import DeepLabModel, build_model
from deeplab.models.resize import ResizeLike, scaled_size

# Their gradient needs neither what they got nor what they gave.
_LINEAR = (
    keras.layers.Add,
    keras.layers.Concatenate,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.InputLayer,
    keras.layers.Rescaling,
    keras.layers.ZeroPadding2D,
    ResizeLike,
)
# What a device needs besides, in bytes: CUDA itself, the workspaces of cuDNN, the input.
RESERVED = 1_000_000_000
# The logits at the size of the image: they, their softmax and the gradients of both.
_LOGITS_COPIES = 4
# A gradient and the one that is computed from it.
_GRADIENTS_AT_ONCE = 2


class TrainingMemory(NamedTuple):
    """Memory of a training step in bytes.

    Attributes:
        fixed: weights, their gradients (twice: they are summed and scaled) and what the optimizer
            remembers of each.
        image: for each image of the batch, what the backward pass needs.
    """

    fixed: int
    image: int

    def of_batch(self, batch_size: int) -> int:
        """Bytes with a batch size (of one replica)."""
        return self.fixed + batch_size * self.image

    def largest_batch(self, available: int) -> int:
        """The largest batch size that fits into a device of so many bytes; 0 if none does."""
        return max(0, (available - RESERVED - self.fixed) // self.image)


def training_memory(config: ModelConfig, *, height: int, width: int, slots: int) -> TrainingMemory:
    """Predicts the memory of training in float32.

    Counted are the tensors that the backward pass needs again: inputs of convolutions, of batch
    norms and of products, outputs of ReLU; besides some copies of the logits and two gradients of
    the largest tensor. Measured beside it: the resident memory of training on the CPU at 513x513,
    output stride 16, 21 classes, sgd (tools/benchmarks/training_memory.py). Each further image took
    0.67 GB with MobileNetV2 (predicted 0.67) and 1.90 GB with Xception-65 (predicted 1.82), the
    rest 0.17 GB (0.04) and 1.0 GB (0.65), of which the process itself is 0.15. No GPU has been
    measured; `RESERVED` is an assumption.

    Args:
        config: the network, with `num_classes`.
        height: of the training crop in pixels.
        width: of the training crop in pixels.
        slots: numbers that the optimizer keeps for each weight: 1 for sgd, 2 for adamw.
    """
    single = dataclasses.replace(config, image_pyramid=(1.0,))
    image = 0
    # The prediction must work where a GPU's memory has just run out.
    with tf.device("CPU:0"):
        for scale in config.image_pyramid:
            size = scaled_size(height, scale), scaled_size(width, scale)
            model = build_model(single, image_size=size)
            image += _kept_bytes(model)
    logits = 4 * height * width * (config.num_classes or 0)
    image += _LOGITS_COPIES * logits
    weights = sum(math.prod(variable.shape) for variable in model.weights)
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_weights)
    return TrainingMemory(4 * (weights + (2 + slots) * trainable), image)


def _kept_bytes(model: DeepLabModel) -> int:
    """Bytes of the tensors that wait for the backward pass, for one image."""
    kept: dict[int, keras.KerasTensor] = {}
    for layer in model.layers:
        if isinstance(layer, _LINEAR):
            continue
        tensors = layer.output if isinstance(layer, keras.layers.ReLU) else layer.input
        for tensor in tensors if isinstance(tensors, list) else [tensors]:
            kept[id(tensor)] = tensor
    largest = max(_bytes(layer.output) for layer in model.layers)
    return sum(map(_bytes, kept.values())) + _GRADIENTS_AT_ONCE * largest


def _bytes(tensor: keras.KerasTensor) -> int:
    return 4 * math.prod(tensor.shape[1:])
