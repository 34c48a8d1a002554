"""Resizing by both rules, and what a network with `resize` does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from model_dirs import TINY

import deeplab
from deeplab.models import scale_logits
from deeplab.models.resize import (
    RESIZES,
    ResizeLike,
    resize_bilinear,
    scaled_size,
    scaled_sizes,
    source_positions,
)


def test_resize_aligns_corners() -> None:
    x = np.array([[0.0, 3.0], [6.0, 9.0]], np.float32).reshape(1, 2, 2, 1)
    like = np.zeros((1, 3, 4, 1), np.float32)
    expected = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    np.testing.assert_allclose(ResizeLike()(x, like)[0, :, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("factor", "size", "expected"), [(0.5, 33, 17), (0.5, 32, 16), (2.0, 17, 33), (2.0, 1, 1)]
)
def test_resize_by_a_factor(factor: float, size: int, expected: int) -> None:
    images = np.linspace(0, 1, size, dtype=np.float32).reshape(1, size, 1, 1)
    resized = np.asarray(ResizeLike(factor)(images, images))
    assert resized.shape == (1, expected, 1, 1)
    straight_line = np.linspace(0, images[0, -1, 0, 0], expected)
    np.testing.assert_allclose(resized.ravel(), straight_line, atol=1e-6)


# Of cells, strides of decoders (also under an image pyramid), and pyramids.
FACTORS = (0.5, 2.0, 1.0, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 0.75, 1.25, 1.5, 1.75, 1.75 / 8, 0.7, 1.1)


@pytest.mark.parametrize("factor", FACTORS)
def test_sizes_of_tensors_are_those_of_numbers(factor: float) -> None:
    pixels = range(1, 2101)
    expected = [int((size - 1) * factor + 1) for size in pixels]  # in double precision
    assert [scaled_size(size, factor) for size in pixels] == expected
    assert scaled_sizes(tf.constant(pixels), factor).numpy().tolist() == expected


SIZES = [((5, 7), (33, 47)), ((9, 12), (128, 3)), ((33, 40), (17, 9)), ((8, 8), (32, 32))]


@pytest.mark.parametrize(("size", "target"), [*SIZES, ((1, 1), (4, 5)), ((4, 5), (1, 1))])
def test_half_pixel_is_the_resize_of_tensorflow_2(
    size: tuple[int, int], target: tuple[int, int]
) -> None:
    images = tf.random.stateless_normal([2, *size, 3], [0, 1])
    expected = tf.image.resize(images, target, "bilinear", antialias=False)
    like = tf.zeros([2, *target, 1])
    np.testing.assert_allclose(ResizeLike(method="half_pixel")(images, like), expected, atol=1e-6)
    resized = resize_bilinear(images, *map(tf.constant, target), method="half_pixel")
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("method", sorted(RESIZES))
@pytest.mark.parametrize(("size", "target"), [(5, 33), (9, 128), (33, 17), (1, 4), (4, 1)])
def test_source_positions_of_a_ramp_are_its_values(method: str, size: int, target: int) -> None:
    ramp = tf.reshape(tf.range(size, dtype=tf.float32), [1, size, 1, 1])
    resized = resize_bilinear(ramp, tf.constant(target), tf.constant(1), method=method)
    positions = source_positions(
        tf.range(target), tf.constant(size), tf.constant(target), method=method
    )
    np.testing.assert_allclose(positions, tf.reshape(resized, [-1]), atol=1e-5)


SMALL = {"backbone": "mobilenet_v2", "num_classes": 3, "depth_multiplier": 0.35, **TINY}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"decoder_strides": (8, 4)},
        {"decoder_merge": "sum", "image_pooling_gate": "sigmoid"},
        {"image_pyramid": (0.5, 1.0)},
        {"image_pooling_crop_size": (33, 33), "decoder": False},
    ],
)
def test_a_network_resizes_in_one_way_behind_its_backbone(settings: dict[str, object]) -> None:
    for method in RESIZES:
        model = deeplab.deeplab_v3_plus(**SMALL, **settings, resize=method)
        methods = [layer.method for layer in model.layers if isinstance(layer, ResizeLike)]
        assert len(methods) >= 2
        assert set(methods) == {method}


@pytest.mark.slow
def test_resizes_inside_a_backbone_are_its_own() -> None:
    head = {"decoder": False, "image_pooling": False, "atrous_rates": ()}
    model = deeplab.deeplab_v3_plus(
        "hnasnet", num_classes=2, output_stride=8, resize="half_pixel", **head
    )
    resizes = {layer.name: layer.method for layer in model.layers if isinstance(layer, ResizeLike)}
    assert resizes.pop("logits.resize") == "half_pixel"
    assert set(resizes.values()) == {"align_corners"}


def test_logits_of_a_network_with_half_pixels() -> None:
    model = deeplab.deeplab_v3_plus(**SMALL, resize="half_pixel")
    for size in ((64, 96), (65, 47)):
        images = np.random.default_rng(0).uniform(0, 255, (1, *size, 3)).astype(np.float32)
        low = scale_logits(model)(images)["logits_low_resolution"]
        assert low.shape[1:3] == tuple(-(-side // 4) for side in size)
        expected = tf.image.resize(low, size, "bilinear")
        np.testing.assert_allclose(model(images), expected, atol=1e-5)


def test_the_field_is_saved_and_old_folders_have_none() -> None:
    config = deeplab.ModelConfig(**SMALL, resize="half_pixel")
    values = json.loads(json.dumps(config.to_dict()))
    assert deeplab.ModelConfig.from_dict(values) == config
    del values["resize"]
    assert deeplab.ModelConfig.from_dict(values).resize == "align_corners"
    with pytest.raises(deeplab.DeepLabError, match="resize 'half_pixels'.*'half_pixel'"):
        deeplab.ModelConfig(**SMALL, resize="half_pixels")
