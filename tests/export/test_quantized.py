"""A network that was trained quantized: its integer file computes what the model does."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from shallow_backbone import shallow_mobilenet_v2
from source_folders import make_folder, numbered, save
from tiny_training import CONFIG

import deeplab
from deeplab.cli.main import main
from deeplab.data.files.pixels import read_pixels
from deeplab.errors import DeepLabError
from deeplab.models import float_network
from deeplab.runtimes.runtime import open_runtime

Interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter

pytestmark = pytest.mark.slow

SIZE = (48, 64)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Images of three colors, each of which is a class."""
    root = tmp_path_factory.mktemp("data")
    source = make_folder(root / "source", numbered(12, SIZE))
    colors = np.array([[20, 30, 200], [220, 40, 30], [60, 210, 90]], np.uint8)
    for seed, name in enumerate(sorted(path.stem for path in (source / "images").iterdir())):
        blocks = np.random.default_rng(seed).integers(0, 3, (3, 4))
        mask = np.kron(blocks, np.ones((16, 16), np.int64))
        noise = np.random.default_rng(seed).normal(0, 20, (*SIZE, 3))
        save(source / "labels" / f"{name}.png", mask.astype(np.uint8))
        pixels = np.clip(colors[mask] + noise, 0, 255).astype(np.uint8)
        save(source / "images" / f"{name}.png", pixels)
    return {"source_dir": str(source), "data_dir": str(root / "prepared")}


@pytest.fixture(scope="module")
def exports(folders: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained quantized, its exports, and what was said of them."""
    root = tmp_path_factory.mktemp("quantized")
    model = dataclasses.replace(
        CONFIG.model, quantization=deeplab.QuantConfig(observe_steps=10, range_momentum=0.9)
    )
    config = dataclasses.replace(
        CONFIG,
        model=model,
        data=deeplab.DataConfig(dataset="folder", crop_size=SIZE, min_scale=1.0, max_scale=1.0),
        optimizer=deeplab.OptimizerConfig("adamw", 0.01),
        train_steps=60,
        checkpoint_steps=60,
    )
    with shallow_mobilenet_v2():
        deeplab.train(config, model_dir=root / "model", **folders)
        words = ("--format=litert_int8", "--format=saved_model", f"--export_dir={root}/exports")
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert main(["export", f"--model_dir={root}/model", *words]) == 0
    (root / "said.txt").write_text(said.getvalue())
    return root


def images(folders: Mapping[str, str]) -> np.ndarray:
    paths = sorted(Path(folders["source_dir"], "images").iterdir())
    return np.stack([read_pixels(path) for path in paths])


@pytest.mark.usefixtures("shallow_backbone")
def test_model_and_integer_file_agree(exports: Path, folders: Mapping[str, str]) -> None:
    pixels = images(folders)
    model = deeplab.load_model(exports / "model")
    expected = np.asarray(model(pixels.astype(np.float32))).argmax(axis=-1)
    assert len(np.unique(expected)) == 3
    runtime = open_runtime("litert", exports / "exports" / "litert_int8" / "model.tflite")
    found = np.concatenate([runtime.classes(image[np.newaxis]) for image in pixels])
    assert (found == expected).mean() >= 0.99


def test_all_between_input_and_logits_is_integers(exports: Path) -> None:
    record = json.loads((exports / "exports" / "litert_int8" / "export.json").read_text())
    assert record["calibrated_on"] == "training, 10 steps"
    assert record["operations"]["CAST"] == record["operations"]["DEQUANTIZE"] == 1
    interpreter = Interpreter(str(exports / "exports" / "litert_int8" / "model.tflite"))
    kinds = [detail["dtype"] for detail in interpreter.get_tensor_details()]
    # The image, scaled and shifted by constants, and the logits; biases are integers of 32 bits.
    assert kinds.count(np.float32) <= 6 and kinds.count(np.int8) > 30


def test_the_miou_of_the_file_stands_beside_that_of_the_model(exports: Path) -> None:
    record = json.loads((exports / "exports" / "litert_int8" / "export.json").read_text())
    miou = record["miou"]
    assert miou["images"] == "the evaluation split of data set folder"
    assert miou["num_images"] >= 1
    assert miou["model"] > 0.8 and abs(miou["model"] - miou["export"]) < 0.02


@pytest.mark.usefixtures("shallow_backbone")
def test_other_formats_have_the_float_weights(exports: Path, folders: Mapping[str, str]) -> None:
    assert "saved_model: the float weights of a network" in (exports / "said.txt").read_text()
    pixels = images(folders)[:1]
    runtime = open_runtime("saved_model", exports / "exports" / "saved_model")
    model = deeplab.load_model(exports / "model")
    expected = np.asarray(float_network(model)(pixels.astype(np.float32)))
    np.testing.assert_allclose(runtime.logits(pixels), expected, atol=1e-3 * expected.std())
    assert runtime.metadata.step == 60


def test_ranges_that_were_trained_need_no_images(exports: Path, tmp_path: Path) -> None:
    with pytest.raises(DeepLabError, match="photos: the ranges of this network were trained"):
        deeplab.export(
            model_dir=exports / "model",
            export_dir=tmp_path / "x",
            format="litert_int8",
            calibration_images="photos",
        )
