"""Shapes, types and names of the network, and its settings."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.models import decayed_variables, parameters, variables_by_path, with_num_classes

# All float variables, moving statistics included, with 21 classes, ASPP rates and, if the backbone
# has features for it, a decoder. Xceptions, ResNets with 50 and 101 layers and resnet_18: the
# original's counts; tests of the stored configurations check its other backbones, and
# backbones/test_preactivated_xception.py the two of timm, backbones/test_resnet_keras.py those of
# keras.applications.
PARAMETERS = {
    "hnasnet": 7_823_205,
    "mobilenet_edgetpu": 4_876_853,
    "mobilenet_v2": 2_764_357,
    "mobilenet_v3_large": 2_525_637,
    "mobilenet_v3_small": 1_271_685,
    "pnasnet": 2_602_069,
    "resnet_101": 45_811_205,
    "resnet_101_beta": 45_935_365,
    "resnet_101_keras": 45_811_205,
    "resnet_18": 12_356_613,
    "resnet_18_beta": 12_338_421,
    "resnet_50": 26_766_853,
    "resnet_50_beta": 26_891_013,
    "resnet_50_keras": 26_766_853,
    "xception_41": 28_241_573,
    "xception_41p": 28_117_957,
    "xception_65": 41_258_213,
    "xception_65p": 41_064_709,
    "xception_71": 43_694_413,
}
QUICK = ("mobilenet_edgetpu", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small")


@pytest.fixture(scope="module")
def small_model() -> keras.Model:
    return deeplab.deeplab_v3_plus("mobilenet_v2", num_classes=5, depth_multiplier=0.35)


@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(deeplab.BACKBONES)
    ],
)
def test_parameter_count(backbone: str) -> None:
    output_stride = 8 if backbone == "hnasnet" else 16
    model = deeplab.deeplab_v3_plus(backbone, num_classes=21, output_stride=output_stride)
    assert model.count_params() == PARAMETERS[backbone]
    assert sum(parameters(model).values()) == PARAMETERS[backbone]


@pytest.mark.parametrize("size", [(1, 1), (7, 33), (64, 96), (65, 129), (100, 51)])
def test_logits_have_the_size_of_the_images(
    small_model: keras.Model, size: tuple[int, int]
) -> None:
    logits = small_model(np.zeros((2, *size, 3), np.float32))
    assert logits.shape == (2, *size, 5)
    assert logits.dtype == tf.float32


def test_dynamic_size_in_one_graph(small_model: keras.Model) -> None:
    spec = tf.TensorSpec([None, None, None, 3], tf.float32)
    graph = tf.function(small_model, input_signature=[spec])
    generator = np.random.default_rng(0)
    for shape in ((1, 33, 47, 3), (2, 64, 40, 3)):
        images = generator.uniform(0, 255, shape).astype(np.float32)
        np.testing.assert_allclose(graph(images), small_model(images), atol=1e-4)


def test_intermediates(small_model: keras.Model) -> None:
    outputs = deeplab.intermediates(small_model)(np.zeros((1, 65, 65, 3), np.float32))
    shapes = {name: tuple(value.shape[1:3]) for name, value in outputs.items()}
    assert shapes == {
        "low_level": (17, 17),
        "high_level": (5, 5),
        "aspp": (5, 5),
        "decoder": (17, 17),
        "logits_low_resolution": (17, 17),
        "logits": (65, 65),
    }


def test_without_decoder() -> None:
    model = deeplab.deeplab_v3_plus("mobilenet_v2", num_classes=2, decoder=False)
    outputs = deeplab.intermediates(model)(np.zeros((1, 65, 65, 3), np.float32))
    assert "decoder" not in outputs
    assert outputs["logits_low_resolution"].shape == (1, 5, 5, 2)


def test_image_result_does_not_depend_on_the_batch(small_model: keras.Model) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (3, 49, 65, 3)).astype(np.float32)
    together = small_model(images).numpy()
    alone = np.concatenate([small_model(image[None]) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-4 * np.abs(alone).max())


def test_variable_paths_are_stable(small_model: keras.Model) -> None:
    paths = list(variables_by_path(small_model))
    assert len(paths) == len(set(paths)) == len(small_model.weights)
    for path in (
        "backbone/conv/kernel",
        "backbone/expanded_conv_1/expand/batch_norm/moving_variance",
        "aspp/image_pooling/kernel",
        "aspp/conv1/depthwise/kernel",
        "aspp/projection/kernel",
        "decoder/low_level_projection/batch_norm/beta",
        "decoder/conv0/depthwise/kernel",
        "logits/bias",
    ):
        assert path in paths
    rest = {path.split("/")[0] for path in paths}
    assert rest == {"backbone", "aspp", "decoder", "logits"}


def test_weight_decay_spares_depthwise_kernels_and_batch_norm(small_model: keras.Model) -> None:
    decayed = {id(variable) for variable in decayed_variables(small_model)}
    for path, variable in variables_by_path(small_model).items():
        expected = path.endswith("/kernel") and not path.endswith("depthwise/kernel")
        assert (id(variable) in decayed) == expected, path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "xcepton_65"}, "did you mean 'xception_65'"),
        ({"output_stride": "8"}, "output_stride must be one of the numbers 8, 16, 32, not '8'"),
        ({"output_stride": 12}, "output_stride must be one of the numbers 8, 16, 32, not 12"),
        ({"num_classes": 1}, "num_classes must be at least 2"),
        ({"num_classes": True}, "num_classes must be a whole number"),
        ({"atrous_rates": (6, "x")}, "atrous_rates must be a whole number, not 'x'"),
        ({"atrous_rates": 6}, "atrous_rates must be a list"),
        ({"dropout_rate": 1.0}, "dropout_rate must be below 1"),
        ({"decoder": 1}, "decoder must be True or False"),
        ({"depth_multiplier": 0.5}, "xception_65 has no depth_multiplier"),
        ({"head_batch_norm_momentum": float("nan")}, "must be a number, not nan"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(deeplab.DeepLabError, match=message):
        deeplab.ModelConfig(**settings)


def test_class_count_of_the_data_set() -> None:
    config = deeplab.ModelConfig()
    assert with_num_classes(config, 7, source="x").num_classes == 7
    with pytest.raises(deeplab.DeepLabError, match="num_classes is 3, but x has 7 classes"):
        with_num_classes(dataclasses.replace(config, num_classes=3), 7, source="x")
    with pytest.raises(deeplab.DeepLabError, match="num_classes is None"):
        deeplab.build_model(config)
