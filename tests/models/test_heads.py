"""The heads and their options: which layers there are, and what they compute."""

from __future__ import annotations

import itertools
import json
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from shallow_backbone import shallow_backbone

import deeplab
from deeplab.interop.tf1.names import original_name
from deeplab.models import BACKBONES, at_output_stride, variables_by_path
from deeplab.models.backbones import Features
from deeplab.models.backbones.mobilenet_v3 import LITE_HEAD
from deeplab.models.dense_prediction_cell import CITYSCAPES_CELL
from deeplab.models.pooling import WindowAverage
from deeplab.models.resize import ResizeLike

pytestmark = pytest.mark.usefixtures("shallow_backbone")

SMALL: dict[str, Any] = {
    "backbone": "mobilenet_v2",
    "num_classes": 3,
    "depth_multiplier": 0.1,
    "aspp_channels": 4,
    "decoder_channels": 5,
    "low_level_channels": 6,
    "atrous_rates": (2,),
}


def small(**settings: Any) -> deeplab.models.DeepLabModel:
    return deeplab.build_model(deeplab.ModelConfig(**{**SMALL, **settings}))


def head_names(model: deeplab.models.DeepLabModel) -> dict[str, tuple[int, ...]]:
    """The original's names of the kernels of the head, with their shapes."""
    backbone = model.model_config.backbone
    return {
        original_name(path, backbone): tuple(variable.shape)
        for path, variable in variables_by_path(model).items()
        if not path.startswith("backbone") and path.endswith("kernel")
    }


def random_images(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (1, height, width, 3)).astype(np.float32)


def test_dense_convolutions() -> None:
    model = small(aspp_separable=False, decoder=True, decoder_separable=False)
    assert head_names(model) == {
        "image_pooling/weights": (1, 1, 32, 4),
        "aspp0/weights": (1, 1, 32, 4),
        "aspp1/weights": (3, 3, 32, 4),
        "concat_projection/weights": (1, 1, 12, 4),
        "decoder/feature_projection0/weights": (1, 1, 24, 6),
        "decoder/decoder_conv0/decoder_conv0_1/weights": (3, 3, 10, 5),
        "decoder/decoder_conv0/decoder_conv0_2/weights": (3, 3, 5, 5),
        "logits/semantic/weights": (1, 1, 5, 3),
    }


def test_two_stages() -> None:
    model = small(aspp=False, decoder=True, decoder_strides=(8, 4))
    names = head_names(model)
    assert {
        "decoder/decoder_conv0_depthwise/depthwise_weights": (3, 3, 38, 1),
        "decoder/feature_projection0_1/weights": (1, 1, 24, 6),
        "decoder/decoder_conv0_1_depthwise/depthwise_weights": (3, 3, 11, 1),
        "decoder/decoder_conv1_1_pointwise/weights": (1, 1, 5, 5),
    }.items() <= names.items()
    outputs = deeplab.intermediates(model)(random_images(65, 97))
    assert outputs["low_level"].shape[1:3] == (17, 25)
    assert outputs["decoder"].shape == (1, 17, 25, 5)

    dense = head_names(small(decoder=True, decoder_strides=(8, 4), decoder_separable=False))
    assert "decoder/decoder_conv0_1/decoder_conv0_1_2/weights" in dense


@pytest.mark.parametrize(
    ("settings", "name", "kernel_size"),
    [
        ({}, "decoder_split_sep_conv0_1_pointwise", 1),
        ({"decoder_separable": False}, "decoder_conv0_1", 3),
        ({"decoder_outputs_logits": True}, "decoder_conv0_1", 1),
    ],
)
def test_two_stages_of_sums(settings: dict[str, Any], name: str, kernel_size: int) -> None:
    model = small(decoder=True, decoder_strides=(16, 8), decoder_merge="sum", **settings)
    names = head_names(model)
    channels = 3 if settings.get("decoder_outputs_logits") else 5
    assert names[f"decoder/{name}/weights"] == (kernel_size, kernel_size, channels, channels)
    assert names["decoder/feature_projection0_1/weights"][-1] == channels
    outputs = deeplab.intermediates(model)(random_images(65, 97))
    assert outputs["logits_low_resolution"].shape == (1, 9, 13, 3)
    assert ("logits/semantic/weights" in names) == (channels == 5)


def test_a_decoder_coarser_than_the_features_has_its_own_stride() -> None:
    model = small(output_stride=8, decoder=True, decoder_strides=(16,))
    outputs = deeplab.intermediates(model)(random_images(64, 97))
    assert outputs["low_level"].shape[1:3] == (8, 13)
    assert outputs["decoder"].shape[1:3] == (4, 7)


def test_decoder_at_even_sizes_where_a_backbone_loses_a_pixel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loses_a_pixel(x: keras.KerasTensor, **settings: Any) -> Features:
        """As hnasnet does."""
        features = shallow_backbone(x, **settings)
        crop = keras.layers.Cropping2D(((0, 1), (0, 1)), name="backbone.crop")
        return {**features, "low_level_8": crop(features["low_level_8"])}

    row = BACKBONES["mobilenet_v2"]._replace(build=loses_a_pixel)
    monkeypatch.setitem(BACKBONES, "mobilenet_v2", row)
    model = small(output_stride=8, decoder_strides=(8,))
    outputs = deeplab.intermediates(model)(random_images(64, 96))
    assert outputs["low_level"].shape[1:3] == (7, 11)
    assert outputs["decoder"].shape[1:3] == (8, 12)


def test_without_aspp_the_logits_are_a_sum_over_the_rates() -> None:
    model = small(aspp=False, decoder=False, atrous_rates=(2, 4), logits_kernel_size=3)
    assert head_names(model) == {
        "logits/semantic/weights": (3, 3, 32, 3),
        "logits/semantic_1/weights": (3, 3, 32, 3),
    }
    outputs = deeplab.intermediates(model)(random_images(65, 65))
    assert "aspp" not in outputs
    kernels = [model.get_layer(name).kernel for name in ("logits", "logits_1")]
    expected = sum(
        tf.nn.conv2d(outputs["high_level"], kernel, 1, "SAME", dilations=rate)
        for kernel, rate in zip(kernels, (2, 4), strict=True)
    )
    np.testing.assert_allclose(outputs["logits_low_resolution"], expected, atol=1e-5)


def test_no_projection_joins_the_branches() -> None:
    model = small(aspp_projection=False, decoder=False)
    assert model.endpoints["aspp"].shape[-1] == 3 * 4
    assert "aspp.dropout" not in {layer.name for layer in model.layers}


@pytest.mark.parametrize(
    ("gate", "function"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("hard_sigmoid", lambda x: np.clip(x + 3, 0, 6) * 0.16667),
    ],
)
def test_gate(gate: str, function: Any) -> None:
    model = small(image_pooling_gate=gate, aspp_projection=False, atrous_rates=(), decoder=False)
    model.get_layer("aspp.image_pooling").bias.assign([-4.0, -1.0, 0.0, 2.0])
    outputs = deeplab.intermediates(model)(random_images(65, 65))
    features = outputs["high_level"].numpy()
    gates = function(features.mean((1, 2)) @ model.get_layer("aspp.image_pooling").kernel[0, 0])
    biased = function(
        features.mean((1, 2)) @ model.get_layer("aspp.image_pooling").kernel[0, 0].numpy()
        + np.array([-4.0, -1.0, 0.0, 2.0])
    )
    assert not np.allclose(gates, biased)
    ungated = np.maximum(features @ model.get_layer("aspp.conv0").kernel[0, 0].numpy(), 0)
    ungated /= np.sqrt(1 + 1.001e-5)
    np.testing.assert_allclose(outputs["aspp"], ungated * biased[:, None, None], rtol=1e-4)


@pytest.mark.parametrize("size", [(5, 7), (5, 3), (2, 9), (2, 3), (1, 1)])
@pytest.mark.parametrize("static", [False, True])
def test_window_average(size: tuple[int, int], static: bool) -> None:
    window, stride = (3, 4), (2, 1)
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    inputs = keras.Input((*(size if static else (None, None)), 3))
    model = keras.Model(inputs, WindowAverage(window, stride)(inputs))
    height, width = (min(k, n) for k, n in zip(window, size, strict=True))
    tops = range(0, size[0] - height + 1, stride[0])
    lefts = range(0, size[1] - width + 1, stride[1])
    means = [
        x[:, top : top + height, left : left + width].mean((1, 2))
        for top, left in itertools.product(tops, lefts)
    ]
    expected = np.stack(means, 1).reshape(2, len(tops), len(lefts), 3)
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)
    if static:
        assert model.output_shape == (None, *expected.shape[1:])


def test_pooling_window_follows_the_output_stride() -> None:
    model = small(image_pooling_crop_size=(97, 33), image_pooling_stride=(2, 1), decoder=False)
    layers = [model.get_layer("aspp.image_pooling.mean")]
    layers.append(at_output_stride(model, 8).get_layer("aspp.image_pooling.mean"))
    assert [layer.window for layer in layers] == [(7, 3), (13, 5)]
    assert model(random_images(33, 129)).shape == (1, 33, 129, 3)


def test_bounded_activation() -> None:
    model = small(bounded_activation=True, decoder=True)
    limits = {
        layer.name: layer.max_value
        for layer in model.layers
        if isinstance(layer, keras.layers.ReLU)
    }
    assert limits.pop("aspp.image_pooling.relu") is None
    assert set(limits.values()) == {6.0}


def test_lite_head() -> None:
    model = deeplab.deeplab_v3_plus(
        "mobilenet_v3_small", num_classes=19, output_stride=32, **LITE_HEAD
    )
    assert model.count_params() == 477_454  # the original's
    assert {path.split("/")[0] for path in variables_by_path(model)} == {
        "backbone",
        "aspp",
        "decoder",
    }


@pytest.mark.parametrize(("merge", "function"), [("max", np.max), ("mean", np.mean)])
def test_image_pyramid(merge: str, function: Any) -> None:
    model = small(image_pyramid=(0.5, 1.0, 1.5), pyramid_merge=merge, decoder=True)
    assert len(model.weights) == len(variables_by_path(model))
    outputs = deeplab.intermediates(model)(random_images(65, 97))
    keys = ["scale_logits_0.50", "scale_logits_1.00", "scale_logits_1.50"]
    assert [outputs[key].shape for key in keys] == [(1, 25, 37, 3)] * 3
    merged = function([outputs[key] for key in keys], axis=0)
    np.testing.assert_allclose(outputs["logits_low_resolution"], merged, atol=1e-6)

    single = small(decoder=True)
    single.set_weights(model.get_weights())
    images = random_images(65, 97)
    halved = ResizeLike(0.5)(images, images)
    logits = deeplab.intermediates(single)(halved)["logits_low_resolution"]
    expected = ResizeLike()(logits, outputs[keys[0]])
    np.testing.assert_allclose(outputs[keys[0]], expected, atol=1e-5)


def test_a_single_scale_of_the_pyramid_keeps_the_grid_of_the_image() -> None:
    outputs = deeplab.intermediates(small(image_pyramid=(0.5,), decoder=False))(
        random_images(65, 65)
    )
    assert outputs["high_level"].shape[1:3] == (3, 3)
    assert outputs["logits_low_resolution"].shape[1:3] == (5, 5)
    assert not [key for key in outputs if key.startswith("scale")]


def test_fixed_image_size() -> None:
    for pyramid in ((1.0,), (0.5, 1.0)):
        config = deeplab.ModelConfig(**{**SMALL, "image_pyramid": pyramid})
        model = deeplab.build_model(config, image_size=(65, 97))
        assert model.output_shape == (None, 65, 97, 3)
        assert model.endpoints["logits_low_resolution"].shape == (None, 17, 25, 3)


def test_decoder_by_default_where_the_backbone_has_features_for_it() -> None:
    assert deeplab.ModelConfig("mobilenet_edgetpu").resolved_decoder_strides == ()
    assert deeplab.ModelConfig("mobilenet_v2").resolved_decoder_strides == (4,)
    assert deeplab.ModelConfig("mobilenet_v2", decoder=False).resolved_decoder_strides == ()


def test_settings_survive_json() -> None:
    config = deeplab.ModelConfig(
        "xception_71",
        num_classes=19,
        multi_grid=(1, 2, 4),
        dense_prediction_cell=CITYSCAPES_CELL,
        image_pooling_crop_size=(97, 129),
        decoder_strides=(8, 4),
        image_pyramid=(0.5, 1.0),
    )
    assert deeplab.ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multi_grid": (1, 2, 4)}, "multi_grid of mobilenet_v2 has 0 numbers, not 3"),
        (
            {"backbone_options": {"divisible": 8}},
            "option of mobilenet_v2 'divisible'; did you mean",
        ),
        ({"backbone_options": {"divisible_by": 0}}, "divisible_by must be at least 1"),
        ({"backbone_options": 8}, "backbone_options must be names with values, not 8"),
        ({"image_pooling_crop_size": (97,)}, "must be height and width"),
        ({"image_pooling_gate": "tanh"}, "image_pooling_gate 'tanh'"),
        ({"image_pooling_gate": "sigmoid", "image_pooling": False}, "needs image_pooling"),
        ({"image_pooling_gate": "sigmoid", "aspp_projection": False}, "needs aspp_projection"),
        ({"dense_prediction_cell": ()}, "dense_prediction_cell must be a list of rows"),
        ({"dense_prediction_cell": CITYSCAPES_CELL, "output_stride": 32}, "choices: 8, 16"),
        ({"dense_prediction_cell": CITYSCAPES_CELL, "aspp": False}, "in the place of ASPP"),
        ({"decoder_strides": (4, 8)}, "decoder_strides must be falling numbers"),
        ({"decoder_strides": ()}, "decoder_strides must be falling numbers"),
        ({"decoder_strides": (2,)}, "one of the numbers 4, 8, 16, not 2"),
        ({"decoder_merge": "add"}, "decoder_merge 'add'"),
        ({"decoder_outputs_logits": True, "decoder": False}, "needs a decoder"),
        ({"backbone": "mobilenet_edgetpu", "decoder": True}, "no feature for a decoder"),
        ({"logits_kernel_size": 3}, "logits_kernel_size must be 1, not 3"),
        ({"logits_kernel_size": 3, "aspp": False, "atrous_rates": ()}, "must be 1, not 3"),
        ({"image_pyramid": ()}, "image_pyramid must be a list of scales"),
        ({"image_pyramid": (1.0, 1.0)}, "a scale twice"),
        ({"image_pyramid": (0.0,)}, "image_pyramid must be above 0"),
        ({"pyramid_merge": "avg"}, "pyramid_merge 'avg'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(deeplab.DeepLabError, match=message):
        deeplab.ModelConfig(**{**SMALL, **settings})
