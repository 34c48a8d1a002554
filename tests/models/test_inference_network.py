"""The network as it is run: the function of the Keras model, without its batch norms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from model_dirs import TINY
from random_weights import randomize
from replicas import mirrored
from shallow_backbone import shallow_mobilenet_v2

import deeplab
from deeplab.evaluation import probability_function
from deeplab.models import BACKBONES, DeepLabModel, InferenceNetwork, build_model, layers
from deeplab.models.backbones import Features

IMAGES = tf.random.stateless_uniform([2, 50, 65, 3], [1, 2], 0, 255)
ANY_SIZE = tf.TensorSpec([None, None, None, 3])


@pytest.fixture(autouse=True, scope="module")
def few_layers() -> Iterator[None]:
    with shallow_mobilenet_v2():
        yield


def make_model(backbone: str = "mobilenet_v2", **settings: Any) -> DeepLabModel:
    model = deeplab.deeplab_v3_plus(backbone, num_classes=3, **{**TINY, **settings})
    randomize(model)
    return model


def operations(network: InferenceNetwork) -> list[str]:
    graph = tf.function(network).get_concrete_function(ANY_SIZE).graph
    return [operation.type for operation in graph.get_operations()]


def assert_same_function(network: InferenceNetwork, model: DeepLabModel) -> None:
    expected = model(IMAGES).numpy()
    found = tf.function(network.full_logits)(IMAGES).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=5e-6 * expected.std(), rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"output_stride": 8, "atrous_rates": (2, 3)},  # depthwise on a regrouped batch
        {"image_pyramid": (0.5, 1.0)},  # every layer twice
        {"image_pooling_gate": "sigmoid", "decoder_merge": "sum"},  # convolutions with biases
    ],
    ids=str,
)
def test_batch_norm_becomes_biases(settings: dict[str, Any]) -> None:
    model = make_model(**settings)
    network = InferenceNetwork(model)
    assert_same_function(network, model)
    kinds = operations(network)
    assert "FusedBatchNormV3" not in kinds
    norms = [layer for layer in model.layers if isinstance(layer, deeplab.models.BatchNorm)]
    assert kinds.count("BiasAdd") >= len(norms)


@pytest.mark.slow
def test_batch_norm_before_the_convolution() -> None:
    model = make_model("xception_41p")
    network = InferenceNetwork(model)
    assert_same_function(network, model)
    # One behind a tensor that the decoder reads too, and those behind sums, stay.
    kinds = operations(network)
    norms = [layer for layer in model.layers if isinstance(layer, deeplab.models.BatchNorm)]
    assert 0 < kinds.count("FusedBatchNormV3") < 0.4 * len(norms)


def test_bias_moves_through_a_pointwise_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    # Between the halves of Xception's separable convolutions there is batch norm alone.
    def separable_backbone(x: Any, *, output_stride: int, norm: Any, **settings: Any) -> Features:
        tensors = []
        for index, stride in enumerate((2, 2, 2, 2)):
            x = layers.separable_conv_bn(
                x,
                8,
                3,
                stride=stride,
                activation=None,
                norm=norm,
                depthwise_initializer="glorot_uniform",
                pointwise_initializer="glorot_uniform",
                name=f"backbone.conv_{index}",
            )
            tensors.append(x)
        return {"low_level": tensors[1], "high_level": x}

    row = BACKBONES["mobilenet_v2"]._replace(build=separable_backbone)
    monkeypatch.setitem(BACKBONES, "mobilenet_v2", row)
    model = make_model()
    network = InferenceNetwork(model)
    assert_same_function(network, model)
    norms = [layer for layer in model.layers if isinstance(layer, deeplab.models.BatchNorm)]
    # All but those of the backbone's depthwise convolutions, and the bias of the logits.
    assert operations(network).count("BiasAdd") == len(norms) - 4 + 1


def test_refresh_takes_the_weights_of_now() -> None:
    model = make_model()
    network = InferenceNetwork(model)
    probabilities = probability_function(network)
    before = probabilities(IMAGES)
    model.set_weights([weight * 1.1 for weight in model.get_weights()])
    np.testing.assert_array_equal(probabilities(IMAGES), before)
    network.refresh()
    after = probabilities(IMAGES)
    np.testing.assert_allclose(after, tf.nn.softmax(model(IMAGES)), atol=1e-5)
    assert np.abs(after - before).max() > 1e-3


def test_weights_of_replicas() -> None:
    strategy = mirrored()
    with strategy.scope():
        model = make_model()
    network = InferenceNetwork(model)
    assert_same_function(network, model)
    bias = model.get_layer("logits").bias
    with strategy.scope():
        bias.assign(bias + 1.0)
    network.refresh()
    assert_same_function(network, model)


def test_half_precision_stays_what_it_is() -> None:
    config = make_model().model_config
    model = build_model(config, dtype_policy="mixed_bfloat16")
    randomize(model)
    expected = model(IMAGES).numpy()
    found = InferenceNetwork(model).full_logits(IMAGES)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, atol=0.1 * expected.std())
