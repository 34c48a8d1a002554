"""Images with more than three channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.errors import DeepLabError
from deeplab.evaluation import label_function
from deeplab.evaluation.saved_model import open_saved_model
from deeplab.export.saved_model import ServedModel, save
from deeplab.interop.loading import Parts, load
from deeplab.models import BACKBONES, ModelConfig, build_model, inflated, variables_by_path

SMALL = {"backbone": "mobilenet_v2", "num_classes": 3, "depth_multiplier": 0.25}


def _images(channels: int, seed: int = 0) -> np.ndarray:
    shape = (1, 48, 64, channels)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet_18", "xception_41"])
@pytest.mark.parametrize("channels", [4, 6])
def test_padding_becomes_zero_in_every_further_channel(backbone: str, channels: int) -> None:
    config = ModelConfig(backbone=backbone, num_classes=2, input_channels=channels)
    row = BACKBONES[backbone]
    values = row.scale * np.array(config.pad_value) + np.array(row.offsets(channels))
    assert len(config.pad_value) == channels
    np.testing.assert_allclose(values[3:], 0, atol=1e-6)
    assert config.pad_value[:3] == row.pad_value


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet_18", "xception_41"])
def test_only_the_first_kernel_depends_on_the_channels(backbone: str) -> None:
    shapes = [
        {path: tuple(v.shape) for path, v in variables_by_path(build_model(config)).items()}
        for config in (
            ModelConfig(backbone=backbone, num_classes=2, input_channels=channels)
            for channels in (3, 5)
        )
    ]
    assert shapes[0].keys() == shapes[1].keys()
    changed = [path for path in shapes[0] if shapes[0][path] != shapes[1][path]]
    assert len(changed) == 1
    assert shapes[1][changed[0]][2] == 5


def test_fewer_than_three_channels_are_refused() -> None:
    with pytest.raises(DeepLabError, match="input_channels"):
        ModelConfig(**SMALL, input_channels=1)


def test_inflated_weights_see_a_grey_image_as_before() -> None:
    rgb = deeplab.deeplab_v3_plus(**SMALL)
    more = deeplab.deeplab_v3_plus(**SMALL, input_channels=5)
    values = {path: v.numpy() for path, v in variables_by_path(rgb).items()}
    report = load(
        variables_by_path(more),
        {path: value.shape for path, value in values.items()},
        values.__getitem__,
        path="rgb",
        source="test",
        parts=Parts(fresh=lambda _: False, ignored=lambda _: False),
        expected="mobilenet_v2",
    )
    assert not report.missing
    assert any("5 channels" in note for note in report.notes)
    grey = _images(1)
    np.testing.assert_allclose(
        more(np.repeat(grey, 5, axis=-1)), rgb(np.repeat(grey, 3, axis=-1)), atol=1e-4
    )


def test_inflated_kernel_by_hand() -> None:
    kernel = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(inflated(kernel, 4).ravel(), np.array([1.0, 2.0, 6.0, 3.0]) * 0.75)


@pytest.mark.parametrize("channels", [4, 5])
def test_export_takes_the_channels_of_the_model(channels: int, tmp_path: Path) -> None:
    model = deeplab.deeplab_v3_plus(**SMALL, input_channels=channels)
    metadata = {"colors": [[0, 0, 0], [1, 1, 1], [2, 2, 2]]}
    save(ServedModel(model), tmp_path, metadata)
    network, _ = open_saved_model(tmp_path)
    images = _images(channels).round()
    expected = model(images).numpy()
    # Folding batch norm into the convolutions reorders float arithmetic.
    np.testing.assert_allclose(network(images), expected, atol=1e-4 * expected.std())
    signatures = tf.saved_model.load(str(tmp_path)).signatures
    # A PNG file holds four channels at most.
    assert ("serving_bytes" in signatures) == (channels == 4)
    if channels == 4:
        data = tf.io.encode_png(tf.cast(images[0], tf.uint8))
        found = signatures["serving_bytes"](image_bytes=data[None])["classes"]
        np.testing.assert_array_equal(found, label_function(network)(images))
