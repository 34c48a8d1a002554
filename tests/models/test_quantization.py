"""Rounding to 8 bits against values computed by hand, and which tensors are rounded."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from model_dirs import realistic_statistics
from shallow_backbone import shallow_mobilenet_v2

import deeplab
from deeplab.errors import DeepLabError
from deeplab.models import (
    ModelConfig,
    QuantConfig,
    build_model,
    float_network,
    parameters,
    variables_by_path,
    with_fixed_ranges,
)
from deeplab.models.quantization import RANGES, quantized
from deeplab.models.rounding import FeatureRange, rounded_kernel

TINY = ModelConfig(
    "mobilenet_v2",
    num_classes=3,
    depth_multiplier=0.25,
    atrous_rates=(2,),
    aspp_channels=16,
    decoder_channels=16,
)
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 48, 64, 3)).astype(np.float32)


def with_quantization(**settings: float) -> ModelConfig:
    return ModelConfig.from_dict({**TINY.to_dict(), "quantization": settings})


def round_kernels(model: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(rounded_kernel(layer.kernel.value))
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.kernel.assign(rounded_kernel(layer.kernel.value[..., 0])[..., np.newaxis])


def test_a_kernel_has_127_steps_to_each_side_a_channel() -> None:
    kernel = np.array([[1.27, -2.54], [0.014, 0.03], [-0.006, 0.0], [0.004, -1.27]], np.float32)
    # Steps of 0.01 and of 0.02; a half is rounded up: 1.5 steps and -63.5 steps.
    expected = [[1.27, -2.54], [0.01, 0.04], [-0.01, 0.0], [0.0, -1.26]]
    found = rounded_kernel(keras.ops.convert_to_tensor(kernel[np.newaxis, np.newaxis]))
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-6)
    assert not np.any(rounded_kernel(keras.ops.zeros((3, 3, 2, 4))))


def test_rounding_before_and_after_batch_norm_is_folded_in_is_one() -> None:
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(3, 3, 8, 16)).astype(np.float32)
    scale = generator.uniform(-2, 2, 16).astype(np.float32)
    after = rounded_kernel(keras.ops.convert_to_tensor(kernel * scale)).numpy()
    np.testing.assert_allclose(
        after, rounded_kernel(keras.ops.convert_to_tensor(kernel)).numpy() * scale, atol=1e-5
    )


def test_a_range_is_the_mean_of_what_was_observed_and_has_256_levels() -> None:
    layer = FeatureRange(observe_steps=2, range_momentum=0.75)
    first, second = np.array([0.5, 1.1], np.float32), np.array([0.0, 4.0], np.float32)
    np.testing.assert_array_equal(layer(first, training=True), first)
    np.testing.assert_array_equal(layer(first), first)  # not rounded before it is measured
    layer(second, training=True)
    # 0..(1.1 + 4) / 2 = 2.55, in steps of 0.01; 0 belongs to every range.
    values = np.array([-1.0, 0.0, 0.004, 0.006, 1.237, 2.55, 3.0], np.float32)
    expected = [0.0, 0.0, 0.0, 0.01, 1.24, 2.55, 2.55]
    np.testing.assert_allclose(layer(values), expected, atol=1e-6)
    layer(np.array([-4.0, 0.0], np.float32), training=True)
    assert float(layer.minimum) == -1.0  # 0.75 * 0 + 0.25 * -4
    np.testing.assert_allclose(float(layer.maximum), 0.75 * 2.55, rtol=1e-6)
    fixed = layer.fixed()
    np.testing.assert_allclose(fixed(values), layer(values), atol=1e-6)


def test_a_range_stays_as_it_was_observed() -> None:
    layer = FeatureRange(observe_steps=1, range_momentum=1.0)
    for largest in (2.0, 8.0):
        layer(np.array([0.0, largest], np.float32), training=True)
    assert float(layer.maximum) == 2.0


def test_a_feature_of_zeros_stays_one() -> None:
    layer = FeatureRange(observe_steps=1, range_momentum=1.0)
    zeros = np.zeros((1, 2, 2, 3), np.float32)
    layer(zeros, training=True)
    np.testing.assert_array_equal(layer(zeros), zeros)
    np.testing.assert_array_equal(layer.fixed()(zeros), zeros)


@pytest.mark.usefixtures("shallow_backbone")
def test_the_same_variables_and_ranges_besides() -> None:
    plain, model = build_model(TINY), build_model(with_quantization(observe_steps=1))
    ours = variables_by_path(model)
    names = [path for path in ours if path.split("/")[0] != RANGES]
    assert names == list(variables_by_path(plain))
    assert len(ours) > len(names)
    assert all(not ours[path].trainable for path in ours if path not in names)
    assert parameters(model) == parameters(plain)
    assert "RoundedConv2D" not in {type(layer).__name__ for layer in plain.layers}


@pytest.mark.usefixtures("shallow_backbone")
def test_a_network_is_the_float_one_of_rounded_weights_and_features() -> None:
    model = build_model(with_quantization(observe_steps=1))
    realistic_statistics(model)
    plain = float_network(model)
    round_kernels(plain)
    # Kernels are rounded at once, features when their ranges are known.
    np.testing.assert_allclose(model(IMAGES), plain(IMAGES), atol=1e-4)
    with pytest.raises(DeepLabError, match="measured in 0 of 1 steps"):
        with_fixed_ranges(model)
    # Else the pass that measures the ranges would move the statistics.
    for layer in model.layers:
        if isinstance(layer, deeplab.models.BatchNorm):
            layer.frozen = True
    model(IMAGES, training=True)
    difference = np.abs(model(IMAGES) - plain(IMAGES)).max() / np.std(plain(IMAGES))
    assert 1e-3 < difference < 0.5
    # For the converter kernels are in float: it rounds them itself.
    fixed = with_fixed_ranges(model)
    assert not {"RoundedConv2D", "FeatureRange"} & {type(layer).__name__ for layer in fixed.layers}
    round_kernels(fixed)
    np.testing.assert_allclose(fixed(IMAGES), model(IMAGES), atol=1e-4)


def test_what_the_file_makes_one_operation_of_is_rounded_once() -> None:
    images = keras.Input((8, 8, 3), name="images")
    conv = keras.layers.Conv2D(4, 1, use_bias=False, name="conv")(images)
    norm = deeplab.models.BatchNorm(1e-3, 0.9, name="norm")(conv)
    relu = keras.layers.ReLU(name="relu")(norm)
    other = keras.layers.Conv2D(4, 1, name="other")(relu)
    total = keras.layers.Add(name="sum")([relu, other])
    both = keras.layers.ReLU(name="sum_relu")(total)
    last = keras.layers.Concatenate(name="concat")([both, keras.layers.MaxPooling2D(1)(total)])
    network = quantized(keras.Model(images, {"a": both, "b": last}), QuantConfig())
    found = [layer.name for layer in network.layers if isinstance(layer, FeatureRange)]
    # The sum is read twice, and so not only by its ReLU.
    names = ("relu", "other", "sum", "sum_relu", "concat")
    assert sorted(found) == sorted(f"quantization.{name}" for name in names)
    assert network.output.keys() == {"a", "b"}


def test_a_network_without_8_bit_form_is_refused() -> None:
    config = ModelConfig("mobilenet_v3_small", num_classes=3, quantization=QuantConfig())
    with pytest.raises(DeepLabError, match=r"layer backbone\.conv\.hard_swish is a hard_silu"):
        build_model(config)
    images = keras.Input((8, 8, 3), name="images")
    norm = deeplab.models.BatchNorm(1e-3, 0.9, name="norm")(keras.layers.ReLU()(images))
    with pytest.raises(DeepLabError, match="norm normalizes what is not the output of a conv"):
        quantized(keras.Model(images, norm), QuantConfig())


def test_settings_that_cannot_be() -> None:
    for settings, message in (
        ({"observe_steps": 0}, "observe_steps must be at least 1, not 0"),
        ({"range_momentum": 1.5}, "range_momentum must be at most 1, not 1.5"),
    ):
        with pytest.raises(DeepLabError, match=message):
            QuantConfig(**settings)
    with pytest.raises(DeepLabError, match="quantization must be a QuantConfig, not True"):
        ModelConfig(quantization=True)
    with pytest.raises(DeepLabError, match="quantization does not work with an image_pyramid"):
        ModelConfig(quantization=QuantConfig(), image_pyramid=(0.5, 1.0))


# numpy's complaint of a scalar that TensorFlow hands to Keras.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_json_and_keras_files_keep_it(tmp_path: object) -> None:
    config = with_quantization(observe_steps=3, range_momentum=0.5)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with shallow_mobilenet_v2():
        model = build_model(config)
        model(IMAGES, training=True)
        model.save(f"{tmp_path}/model.keras")
        loaded = deeplab.load_model(f"{tmp_path}/model.keras")
    assert loaded.model_config == config
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
