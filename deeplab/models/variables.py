"""The variables of a model by stable paths, such as "decoder/conv0/depthwise/kernel".

Keras keys a checkpoint by positions in its list of operations, which shift when a layer is added.
These paths depend on the names of the layers alone.
"""

from __future__ import annotations

import keras

from deeplab.models.deeplab_v3_plus import DeepLabModel


def variables_by_path(model: keras.Model) -> dict[str, keras.Variable]:
    """All weights of a model, trainable or not, by path, in the order of the layers."""
    return {
        f"{layer.name.replace('.', '/')}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
    }


def decayed_variables(model: keras.Model) -> list[keras.Variable]:
    """The variables that the original puts under weight decay.

    Kernels of dense convolutions (pointwise ones and the logits included); not batch norm or
    biases, nor depthwise kernels but those of the searched backbones. Source: the slim arg scopes
    of core/xception.py, core/nas_network.py, model.py and slim's mobilenet_v2.py.
    """
    depthwise_too = (
        isinstance(model, DeepLabModel) and model.model_config.resolved_backbone.decays_depthwise
    )
    return [
        layer.kernel
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
        and (
            not isinstance(layer, keras.layers.DepthwiseConv2D)
            or (depthwise_too and layer.name.startswith("backbone."))
        )
    ]
