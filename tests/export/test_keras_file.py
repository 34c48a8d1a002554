"""A `.keras` file gives the same model again, of whatever kind it is."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_dirs import TINY, make_model_dir
from random_weights import randomize

import deeplab
from deeplab.errors import DeepLabError
from deeplab.models import DeepLabModel, ModelConfig, build_model, intermediates
from deeplab.models.dense_prediction_cell import CITYSCAPES_CELL

# Keras' own way of saving, under NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODELS: dict[str, dict[str, Any]] = {
    "half_pixel": {"resize": "half_pixel", "image_pooling_crop_size": (65, 65), **TINY},
    "clip6": {"backbone": "xception_41", "bounded_activation": True, **TINY},
    "pyramid": {"image_pyramid": (0.5, 1.0), "pyramid_merge": "mean", **TINY},
    "cell": {"dense_prediction_cell": CITYSCAPES_CELL, "aspp_channels": 8},
    "deeplab_v2": {"backbone": "resnet_18", "aspp": False, "decoder": False},
    "lite_head": {
        "backbone": "mobilenet_v3_small",
        "atrous_rates": (),
        "image_pooling_gate": "hard_sigmoid",
        "aspp_channels": 16,
        "decoder_merge": "sum",
        "decoder_outputs_logits": True,
        "decoder_strides": (8,),
        "decoder_channels": 3,
    },
    "xception_41p": {"backbone": "xception_41p", "input_channels": 4, **TINY},
}


def tiny(**settings: Any) -> DeepLabModel:
    """A model whose variables all have values of their own."""
    if "backbone" not in settings:
        settings |= {"backbone": "mobilenet_v2", "depth_multiplier": 0.25}
    model = build_model(ModelConfig(num_classes=3, **settings))
    randomize(model)
    return model


def images(model: DeepLabModel) -> tf.Tensor:
    size = (1, 49, 65, model.input_channels)
    return tf.constant(np.random.default_rng(1).uniform(0, 255, size), tf.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keras") / "model.keras"
    tiny(**TINY).save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=[pytest.mark.slow] if "xception" in k else []) for k in MODELS]
)
def test_every_kind_of_network_comes_back(tmp_path: Path, name: str) -> None:
    model = tiny(**MODELS[name])
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert isinstance(loaded, DeepLabModel)
    assert loaded.model_config == model.model_config
    assert loaded.endpoints.keys() == model.endpoints.keys()
    np.testing.assert_array_equal(loaded(images(model)), model(images(model)))


def test_what_training_needs_comes_back(tmp_path: Path) -> None:
    config = ModelConfig("mobilenet_v2", num_classes=3, depth_multiplier=0.25, **TINY)
    model = build_model(config, image_size=(33, 49), dtype_policy="mixed_bfloat16")
    model.get_layer("backbone.conv").trainable = False
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert loaded.input_shape == (None, 33, 49, 3)
    assert [layer.dtype_policy.name for layer in loaded.layers] == [
        layer.dtype_policy.name for layer in model.layers
    ]
    paths = [[v.path for v in m.trainable_variables] for m in (loaded, model)]
    assert paths[0] == paths[1]


def test_its_intermediates_are_saved_as_a_graph(tmp_path: Path) -> None:
    model = tiny(**TINY)
    intermediates(model).save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    expected = intermediates(model)(images(model))
    for name, tensor in loaded(images(model)).items():
        np.testing.assert_array_equal(tensor, expected[name])


def test_deeplab_load_model_reads_it(path: Path) -> None:
    model = deeplab.load_model(path)
    finer = deeplab.load_model(path, output_stride=8)
    assert finer.model_config.output_stride == 8
    for mine, theirs in zip(finer.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(DeepLabError, match="it has no checkpoint best"):
        deeplab.load_model(path, checkpoint="best")


@pytest.mark.slow
def test_a_fresh_process_needs_one_import(path: Path) -> None:
    program = f"""
import keras
import deeplab.models
model = keras.models.load_model({str(path)!r})
assert model.model_config.backbone == "mobilenet_v2" and "decoder" in model.endpoints
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_files_that_are_no_such_model(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    files = {"cut": whole[: len(whole) // 2], "text": b"not a model", "empty": b""}
    for name, content in files.items():
        damaged = tmp_path / f"{name}.keras"
        damaged.write_bytes(content)
        with pytest.raises(
            DeepLabError, match=f"{name}.keras is no model of this package"
        ) as error:
            deeplab.load_model(damaged)
        assert "\n" not in str(error.value)
    x = keras.Input((3,))
    keras.Model(x, keras.layers.Dense(2)(x)).save(tmp_path / "other.keras")
    with pytest.raises(DeepLabError, match="it holds a Functional"):
        deeplab.load_model(tmp_path / "other.keras")


def test_weights_that_lie_in_ruins(path: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "x.keras"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data[: len(data) // 2] if name.endswith(".h5") else data)
    with pytest.raises(DeepLabError, match="is no model of this package, or damaged"):
        deeplab.load_model(damaged)


def test_a_newer_file_names_what_is_unknown(path: Path, tmp_path: Path) -> None:
    newer = tmp_path / "x.keras"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(newer, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b'"aspp"', b'"apse"'))
    with pytest.raises(DeepLabError, match="unknown model settings apse"):
        deeplab.load_model(newer)


@pytest.mark.slow
def test_the_command_writes_it(
    tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    model = make_model_dir(tmp_path / "model", **TINY)
    words = ("--model_dir", tmp_path / "model", "--export_dir", tmp_path / "out")
    code, output, errors = run_command("export", *words, "--format=keras")
    assert (code, errors) == (0, "") and "differ by 0.0e+00" in output
    assert json.loads((tmp_path / "out/export.json").read_text())["classes"][1] == "cat"
    loaded = deeplab.load_model(tmp_path / "out/model.keras")
    np.testing.assert_array_equal(loaded(images(model)), model(images(model)))
