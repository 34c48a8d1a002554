"""The classifier of images that a backbone was trained as, before it was one of DeepLab."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import keras

from deeplab.models import layers
from deeplab.models.backbones import BACKBONES
from deeplab.models.config import ModelConfig
from deeplab.models.deeplab_v3_plus import build_model
from deeplab.models.variables import variables_by_path

_PATH = "classifier"
_LOGITS = f"{_PATH}.logits"
_CONV = f"{_PATH}.conv"
# Classifiers were trained without atrous convolutions.
_OUTPUT_STRIDE = 32


def build_classifier(
    config: ModelConfig, *, num_classes: int, hidden_channels: int | None = None
) -> keras.Model:
    """A backbone with a mean over the whole map and a dense layer behind it.

    Args:
        config: a network with the backbone.
        num_classes: of the images.
        hidden_channels: of a 1x1 convolution with batch norm and ReLU6 before the mean, as
            MobileNetV2 has it (arXiv 1801.04381, table 2); None for none.

    Returns:
        images float32 [B,H,W,3], RGB, 0..255, to logits float32 [B,num_classes].
    """
    network = build_model(
        dataclasses.replace(config, num_classes=2, decoder=False).at_output_stride(_OUTPUT_STRIDE)
    )
    x = network.endpoints["high_level"]
    if hidden_channels is not None:
        x = layers.conv_bn(
            x,
            hidden_channels,
            1,
            activation=layers.relu6,
            norm=BACKBONES[config.backbone].norm,
            initializer="glorot_uniform",
            name=_CONV,
        )
    x = keras.layers.GlobalAveragePooling2D(name=f"{_PATH}.mean")(x)
    logits = keras.layers.Dense(num_classes, name=_LOGITS)(x)
    return keras.Model(network.input, logits, name=f"{config.backbone}_classifier")


def classifier_variables(model: keras.Model) -> tuple[Mapping[str, keras.Variable], ...]:
    """The variables of a classifier by path: of its backbone, and of what is behind that."""
    variables = variables_by_path(model)
    behind = {path: v for path, v in variables.items() if path.startswith(f"{_PATH}/")}
    return {path: v for path, v in variables.items() if path not in behind}, behind
