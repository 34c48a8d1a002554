"""Training from weights whose batch norm had been folded away."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tiny_training import CONFIG, MODEL

import deeplab
from deeplab.model_dir import (
    ModelDescription,
    read_description,
    save_checkpoint,
    write_description,
)
from deeplab.models import BatchNorm, variables_by_path
from deeplab.training.batch_norm import folded_batch_norms, freeze, measure_statistics

pytestmark = pytest.mark.usefixtures("shallow_backbone")

NUM_LAYERS = 15
IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 40, 48, 3)).astype(np.float32)


def folded_model() -> deeplab.models.DeepLabModel:
    """Batch norm as an importer leaves it: gamma sqrt(1 + epsilon), mean 0, variance 1."""
    model = deeplab.build_model(dataclasses.replace(MODEL, num_classes=3))
    generator = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            layer.gamma.assign(np.full(layer.gamma.shape, np.sqrt(1 + layer.epsilon)))
            layer.beta.assign(generator.normal(0, 0.3, layer.beta.shape))
    return model


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    model = folded_model()
    save_checkpoint(folder / "checkpoints", 0, {"model": variables_by_path(model)}, keep=1)
    description = ModelDescription(
        config=model.model_config,
        class_names=("a", "b", "c"),
        colors=((0, 0, 0),) * 3,
        ignore_label=255,
        pad_value=(127.5,) * 3,
        weights_source="a test",
        batch_norm_folded=True,
    )
    write_description(folder, description)
    return folder


def test_measuring_keeps_the_function() -> None:
    model = folded_model()
    before = model(IMAGES).numpy()
    assert measure_statistics(model, [{"image": IMAGES}]) == 3
    np.testing.assert_allclose(model(IMAGES), before, atol=1e-3 * before.std())
    first = model.get_layer("backbone.conv.batch_norm")
    x = model.get_layer("normalize")(IMAGES)
    x = model.get_layer("backbone.conv")(x).numpy()
    np.testing.assert_allclose(first.moving_mean, x.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(first.moving_variance, x.var((0, 1, 2)), rtol=1e-3)


@pytest.mark.slow
def test_frozen_unless_told_otherwise(
    imported: Path, folders: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = dataclasses.replace(CONFIG, train_steps=2)
    deeplab.train(config, model_dir=tmp_path, init_from=str(imported), **folders)
    assert f"batch norm: frozen in the {NUM_LAYERS} layers" in capsys.readouterr().out
    assert read_description(tmp_path).batch_norm_folded
    layers = [x for x in deeplab.load_model(tmp_path).layers if isinstance(x, BatchNorm)]
    assert len(layers) == NUM_LAYERS
    for layer in layers:
        np.testing.assert_array_equal(layer.moving_mean, 0)
        np.testing.assert_array_equal(layer.moving_variance, 1)
    # Still frozen when the run is resumed.
    deeplab.train(dataclasses.replace(config, train_steps=3), model_dir=tmp_path, **folders)
    assert f"batch norm: frozen in the {NUM_LAYERS} layers" in capsys.readouterr().out


def test_a_fresh_head_is_not_frozen() -> None:
    model = folded_model()
    head = model.get_layer("aspp.projection.batch_norm")
    head.gamma.assign(np.ones(head.gamma.shape))
    layers = folded_batch_norms(model)
    assert len(layers) == NUM_LAYERS - 1
    freeze(layers)
    model(IMAGES, training=True)
    assert np.any(head.moving_mean.numpy())
    assert not np.any(model.get_layer("backbone.conv.batch_norm").moving_mean.numpy())


@pytest.mark.slow
def test_measured_when_it_is_to_be_trained(
    imported: Path, folders: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = deeplab.OptimizerConfig("sgd", 0.0)
    config = dataclasses.replace(CONFIG, optimizer=still, train_steps=1, train_batch_norm=True)
    deeplab.train(config, model_dir=tmp_path, init_from=str(imported), **folders)
    assert "batch norm: statistics measured on 64 training images" in capsys.readouterr().out
    assert not read_description(tmp_path).batch_norm_folded
    moving = variables_by_path(deeplab.load_model(tmp_path))["backbone/conv/batch_norm/moving_mean"]
    assert np.abs(moving.numpy()).max() > 0
