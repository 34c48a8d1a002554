"""The ResNets of keras.applications, against keras.applications."""

from __future__ import annotations

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.models import BACKBONES, variables_by_path

WITHOUT_HEAD = {"num_classes": 2, "aspp": False, "atrous_rates": (), "decoder": False}


@pytest.fixture(scope="module")
def reference() -> keras.Model:
    """ResNet-50 with random values everywhere, biases and statistics too."""
    model = keras.applications.ResNet50(
        weights=None, include_top=False, input_shape=(None, None, 3)
    )
    generator = np.random.default_rng(0)
    for layer in model.layers:
        for variable in layer.weights:
            if variable.name == "kernel":
                spread = np.sqrt(2 / np.prod(variable.shape[:-1]))
                variable.assign(generator.standard_normal(variable.shape, np.float32) * spread)
            elif variable.name in ("gamma", "moving_variance"):
                variable.assign(generator.uniform(0.5, 1.5, variable.shape))
            else:
                variable.assign(generator.uniform(-0.5, 0.5, variable.shape))
    return model


def features_of(reference: keras.Model, *, blue_first: bool, **settings: object) -> keras.Model:
    """Pixels -> features of our network, with the weights of keras.applications.

    Biases of convolutions go into the moving means.
    """
    config = deeplab.ModelConfig("resnet_50_keras", **settings)
    row = config.resolved_backbone
    pixels = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(row.scale, row.offset)(pixels)
    features = row.build(
        x, output_stride=config.output_stride, norm=row.norm, **config.backbone_settings
    )
    model = keras.Model(pixels, features)
    for path, variable in variables_by_path(model).items():
        match = re.match(r"backbone/block(\d)/unit_(\d+)/(?:conv(\d)|shortcut)", path)
        name = "conv1"
        if match:
            block, unit, index = match.groups()
            name = f"conv{int(block) + 1}_block{unit}_{index or 0}"
        convolution, norm = (reference.get_layer(f"{name}_{kind}") for kind in ("conv", "bn"))
        leaf = path.rsplit("/", 1)[-1]
        value = convolution.kernel.numpy() if leaf == "kernel" else getattr(norm, leaf).numpy()
        if leaf == "moving_mean":
            value -= convolution.bias.numpy()
        if path == "backbone/conv1/kernel" and blue_first:
            value = value[:, :, ::-1]
        variable.assign(value)
    return model


def assert_equal(found: tf.Tensor, expected: tf.Tensor) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def pixels_of(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (2, *size, 3)).astype(np.float32)


SIZES = [(97, 65), (64, 98)]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_features_are_those_of_keras(reference: keras.Model, size: tuple[int, int]) -> None:
    model = features_of(reference, blue_first=True, output_stride=32)
    biases = sum(layer.bias.shape[0] for layer in reference.layers if hasattr(layer, "bias"))
    assert model.count_params() == reference.count_params() - biases
    expected = {
        "low_level": "conv2_block3_out",
        "low_level_8": "conv3_block4_out",
        "low_level_16": "conv4_block6_out",
        "high_level": "conv5_block3_out",
    }
    outputs = {ours: reference.get_layer(name).output for ours, name in expected.items()}
    pixels = pixels_of(size)
    normalized = keras.applications.resnet.preprocess_input(pixels.copy())
    wanted = keras.Model(reference.input, outputs)(normalized)
    found = model(pixels)
    assert found.keys() == wanted.keys()
    for name in found:
        assert_equal(found[name], wanted[name])


KERAS_IO = {"backbone_options": {"keras_io": True}}


@pytest.mark.parametrize("size", SIZES)
def test_the_network_of_keras_io_ends_inside_a_unit(
    reference: keras.Model, size: tuple[int, int]
) -> None:
    model = features_of(reference, blue_first=False, **KERAS_IO)
    # The last unit that is there has no end.
    ends = [layer.name for layer in model.layers if layer.name.endswith(".conv3")]
    assert ends[-1] == "backbone.block3.unit_5.conv3"
    names = {"low_level": "conv2_block3_2_relu", "high_level": "conv4_block6_2_relu"}
    outputs = {ours: reference.get_layer(name).output for ours, name in names.items()}
    pixels = pixels_of(size)
    wanted = keras.Model(reference.input, outputs)(pixels / 127.5 - 1)
    found = model(pixels)
    assert found.keys() == wanted.keys()
    for name in found:
        assert_equal(found[name], wanted[name])


@pytest.mark.parametrize(
    ("output_stride", "strides", "rates"),
    [
        (32, [1, 2, 2, 2], [[1] * 3, [1] * 4, [1] * 6, [1] * 3]),
        (16, [1, 2, 2, 1], [[1] * 3, [1] * 4, [1] * 6, [2] * 3]),
        (8, [1, 2, 1, 1], [[1] * 3, [1] * 4, [2] * 6, [4] * 3]),
    ],
)
def test_strides_and_rates(output_stride: int, strides: list[int], rates: list[list[int]]) -> None:
    model = deeplab.deeplab_v3_plus("resnet_50_keras", output_stride=output_stride, **WITHOUT_HEAD)
    for block, units in enumerate(rates, start=1):
        names = [f"backbone.block{block}.unit_{unit + 1}" for unit in range(len(units))]
        first = [model.get_layer(f"{name}.conv1").strides[0] for name in names]
        assert first == [strides[block - 1], *[1] * (len(units) - 1)]
        assert model.get_layer(f"{names[0]}.shortcut").strides[0] == first[0]
        assert [model.get_layer(f"{name}.conv2").dilation_rate[0] for name in names] == units


def test_an_option_changes_facts_of_the_row() -> None:
    plain = deeplab.ModelConfig("resnet_50_keras")
    assert plain.pad_value == (123.68, 116.779, 103.939)
    assert plain.resolved_backbone == BACKBONES["resnet_50_keras"]
    assert plain.resolved_backbone.normalization == "1 * image + (-123.68, -116.779, -103.939)"
    unset = deeplab.ModelConfig("resnet_50_keras", backbone_options={"keras_io": False})
    assert unset.resolved_backbone == plain.resolved_backbone
    config = deeplab.ModelConfig("resnet_50_keras", **KERAS_IO, num_classes=2)
    assert config.pad_value == (127.5, 127.5, 127.5)
    assert config.resolved_backbone.normalization == "0.007843137255 * image + -1"
    assert deeplab.ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.at_output_stride(8).output_stride == 8
    with pytest.raises(deeplab.DeepLabError, match="no output_stride 32; choices: 8, 16"):
        config.at_output_stride(32)
    rescaling = deeplab.build_model(config).get_layer("normalize")
    assert (rescaling.scale, rescaling.offset) == (2 / 255, -1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output_stride": 32}, "with keras_io=True has no output_stride 32; choices: 8, 16"),
        ({"decoder_strides": (8, 4)}, "no feature for a decoder at stride 8; choices: 4"),
        ({"multi_grid": (1, 2, 4)}, "multi_grid of resnet_50_keras has 0 numbers"),
        ({"backbone_options": {"keras_io": 1}}, "keras_io must be True or False"),
        ({"backbone": "resnet_101_keras"}, "option of resnet_101_keras 'keras_io'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(deeplab.DeepLabError, match=message):
        deeplab.ModelConfig(**{"backbone": "resnet_50_keras", **KERAS_IO, **settings})
