"""The variables of a model by stable paths, such as "decoder/conv0/depthwise/kernel".

Keras keys a checkpoint by positions in its list of operations, which shift when a layer is added.
These paths depend on the names of the layers alone.
"""

from __future__ import annotations

import keras


def variables_by_path(model: keras.Model) -> dict[str, keras.Variable]:
    """All weights of a model, trainable or not, by path, in the order of the layers."""
    return {
        f"{layer.name.replace('.', '/')}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
    }


def decayed_variables(model: keras.Model) -> list[keras.Variable]:
    """The variables that the original puts under weight decay.

    Kernels of dense convolutions (pointwise ones and the logits included); not depthwise kernels,
    batch norm or biases. Source: the slim arg scopes of core/xception.py, model.py and slim's
    mobilenet_v2.py.
    """
    return [
        layer.kernel
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
        and not isinstance(layer, keras.layers.DepthwiseConv2D)
    ]
