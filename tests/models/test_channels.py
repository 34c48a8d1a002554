"""Images with more than three channels."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tiny_training
from model_dirs import make_model_dir
from PIL import Image
from source_folders import make_channel_folder, make_folder, random_image
from source_folders import save as save_image

import deeplab
from deeplab.data.colors import overlay
from deeplab.errors import DeepLabError
from deeplab.evaluation import label_function
from deeplab.export.saved_model import ServedModel, save
from deeplab.interop.loading import Found, Parts, Stored, load
from deeplab.model_dir import load_model, read_description
from deeplab.models import (
    ModelConfig,
    build_model,
    inflated,
    variables_by_path,
    with_input_channels,
)
from deeplab.runtimes.padding import pad
from deeplab.runtimes.runtime import open_runtime
from deeplab.training.initial_weights import initialize_from

pytestmark = pytest.mark.usefixtures("shallow_backbone")

SMALL = {"backbone": "mobilenet_v2", "num_classes": 3, "depth_multiplier": 0.25}


def _images(channels: int, seed: int = 0) -> np.ndarray:
    shape = (1, 48, 64, channels)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def test_fewer_than_three_channels_are_refused() -> None:
    with pytest.raises(DeepLabError, match="input_channels"):
        ModelConfig(**SMALL, input_channels=1)


def test_inflated_weights_see_a_gray_image_as_before() -> None:
    rgb = deeplab.deeplab_v3_plus(**SMALL)
    more = deeplab.deeplab_v3_plus(**SMALL, input_channels=5)
    values = {path: v.numpy() for path, v in variables_by_path(rgb).items()}
    stored = Stored("rgb", {path: v.shape for path, v in values.items()}, values.__getitem__)
    parts = Parts({path: path for path in values}, lambda _: False, lambda _: False)
    found = Found(more.model_config, (), stored, lambda _: parts)
    report = load(more, found, source="test")
    assert not report.missing
    assert any("5 channels" in note for note in report.notes)
    gray = _images(1)
    np.testing.assert_allclose(
        more(np.repeat(gray, 5, axis=-1)), rgb(np.repeat(gray, 3, axis=-1)), atol=1e-4
    )


@pytest.mark.parametrize("channels", [4, 5])
def test_export_takes_the_channels_of_the_model(channels: int, tmp_path: Path) -> None:
    model = deeplab.deeplab_v3_plus(**SMALL, input_channels=channels)
    metadata = {"classes": ["a", "b", "c"], "colors": [[0, 0, 0], [1, 1, 1], [2, 2, 2]]}
    save(ServedModel(model), tmp_path, metadata)
    runtime = open_runtime("saved_model", tmp_path)
    images = _images(channels).round().astype(np.uint8)
    expected = model(images.astype(np.float32)).numpy()
    # Folding batch norm into the convolutions reorders float arithmetic.
    np.testing.assert_allclose(runtime.logits(images), expected, atol=1e-4 * expected.std())
    signatures = tf.saved_model.load(str(tmp_path)).signatures
    # A PNG file holds four channels at most.
    assert ("serving_bytes" in signatures) == (channels == 4)
    if channels == 4:
        data = tf.io.encode_png(images[0])
        found = signatures["serving_bytes"](image_bytes=data[None])["classes"]
        np.testing.assert_array_equal(found, runtime.classes(images))


def test_the_data_set_decides_about_channels() -> None:
    config = ModelConfig(**SMALL)
    assert with_input_channels(config, 3, source="x").input_channels == 3
    assert with_input_channels(config, 5, source="x").input_channels == 5
    stated = dataclasses.replace(config, input_channels=5)
    assert with_input_channels(stated, 5, source="x") == stated
    for channels in (3, 4):
        with pytest.raises(DeepLabError, match=f"is 5, but the images of x have {channels} chan"):
            with_input_channels(stated, channels, source="x")


def pixels_of(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


class TrainedRun(NamedTuple):
    model_dir: Path
    source: Path
    pixels: dict[str, np.ndarray]


SIZES = {"train/a": (40, 36), "train/b": (33, 48), "val/c": (34, 41), "val/d": (34, 41)}
CONFIG = dataclasses.replace(
    tiny_training.CONFIG,
    model=dataclasses.replace(tiny_training.MODEL, depth_multiplier=0.25),
    train_steps=2,
    global_batch_size=2,
    eval_steps=2,
)


@pytest.fixture(
    scope="module", params=[4, pytest.param(5, marks=pytest.mark.slow)], ids="{} channels".format
)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Two steps from the weights of a model of three channels."""
    root = tmp_path_factory.mktemp("run")
    rgb = make_model_dir(root / "rgb")
    pixels = make_channel_folder(root / "source", SIZES, request.param)
    folders = {"source_dir": str(root / "source"), "data_dir": str(root / "data")}
    deeplab.train(CONFIG, model_dir=root / "run", init_from=str(root / "rgb"), **folders)
    start = build_model(read_description(root / "run").config)
    initialize_from(start, str(root / "rgb"))
    after, before = variables_by_path(start), variables_by_path(rgb)
    (path,) = [
        path
        for path, variable in after.items()
        if path.startswith("backbone/") and variable.shape != before[path].shape
    ]
    stored = before[path].numpy()
    np.testing.assert_allclose(after[path].numpy(), inflated(stored, request.param), atol=1e-7)
    return TrainedRun(root / "run", root / "source", pixels)


@pytest.mark.slow
def test_a_run_of_more_channels(run: TrainedRun, capsys: pytest.CaptureFixture[str]) -> None:
    channels = run.pixels["val/c"].shape[-1]
    description = read_description(run.model_dir)
    assert description.config.input_channels == len(description.pad_value) == channels
    assert f"inflated to {channels} channels" in description.weights_source
    assert pixels_of(run.model_dir / "train" / "first_batch.png").shape[-1] == 3
    history = json.loads((run.model_dir / "history.json").read_text())
    assert [row["step"] for row in history["train"]] == [1, 2]
    deeplab.train(CONFIG, model_dir=run.model_dir)
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_evaluation_of_more_channels(run: TrainedRun, tmp_path: Path) -> None:
    options = {"model_dir": run.model_dir, "progress": False}
    by_split = deeplab.evaluate(**options)
    folders = {name: run.source / name / "val" for name in ("images", "labels")}
    by_folder = deeplab.evaluate(**options, **folders, name="folders")
    assert by_split["confusion_matrix"] == by_folder["confusion_matrix"]
    rgb = make_folder(tmp_path / "rgb", SIZES)
    channels = run.pixels["val/c"].shape[-1]
    with pytest.raises(DeepLabError, match=f"takes images of {channels} channels and .* have 3"):
        deeplab.evaluate(**options, source_dir=rgb, data_dir=tmp_path / "data")


@pytest.mark.slow
def test_evaluation_of_more_channels_at_several_scales(run: TrainedRun) -> None:
    options = {"eval_scales": (0.75, 1.0), "flip": True, "pad_to": (48, 48), "progress": False}
    for protocol in (False, True):
        metrics = deeplab.evaluate(model_dir=run.model_dir, original_protocol=protocol, **options)
        assert metrics["num_images"] == 2


@pytest.mark.slow
def test_prediction_and_export_of_more_channels(
    run: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    channels = run.pixels["val/c"].shape[-1]
    verification = deeplab.export(model_dir=run.model_dir, export_dir=tmp_path / "export")
    assert verification.images == "data set folder"
    metadata = json.loads((tmp_path / "export" / "assets" / "metadata.json").read_text())
    assert metadata["preprocessing"]["channels"] == channels
    runtime = open_runtime("saved_model", tmp_path / "export")
    assert runtime.metadata.input_channels == channels
    model = load_model(run.model_dir)
    images = run.pixels["val/c"][None]
    expected = model(images.astype(np.float32)).numpy()
    np.testing.assert_allclose(runtime.logits(images), expected, atol=2e-3 * expected.std())

    inputs = tmp_path / "inputs"
    if channels == 4:
        save_image(inputs / "c.png", run.pixels["val/c"])
    photo = save_image(inputs / "photo.jpg", random_image(9, 9))
    np.save(inputs / "array.npy", run.pixels["val/d"])
    readable = ["array", "c"] if channels == 4 else ["array"]
    results = []
    for name, where in (("model_dir", run.model_dir), ("saved_model", tmp_path / "export")):
        summary = deeplab.predict(
            inputs=[inputs], output_dir=tmp_path / name, progress=False, **{name: where}
        )
        ((failed, why),) = summary.failures
        assert failed == photo
        assert why.startswith(f"has 3 channels (JPEG, RGB), expected {channels}: ")
        assert capsys.readouterr().err == f"cannot read the image {photo}: {why}\n"
        names = sorted(path.name for path in summary.written if path.name.endswith("_index.png"))
        assert names == [f"{stem}_index.png" for stem in readable]
        results.append(pixels_of(tmp_path / name / "array_index.png"))
    labels = label_function(model)(run.pixels["val/d"][None].astype(np.float32))[0].numpy()
    np.testing.assert_array_equal(results[0], labels)
    assert np.mean(results[1] == labels) > 0.99  # folding reorders float arithmetic
    painted = overlay(run.pixels["val/d"][..., :3], labels, read_description(run.model_dir).colors)
    np.testing.assert_array_equal(pixels_of(tmp_path / "model_dir" / "array_overlay.png"), painted)


def test_arrays_are_no_images_for_a_model_of_three_channels(tmp_path: Path) -> None:
    make_model_dir(tmp_path / "model")
    np.save(tmp_path / "x.npy", np.zeros((5, 6, 4), np.uint8))
    with pytest.raises(DeepLabError, match=r"/\*\.npy: .*\.npy 1$"):
        deeplab.predict(
            inputs=[f"{tmp_path}/*.npy"], output_dir=tmp_path / "out", model_dir=tmp_path / "model"
        )


@pytest.mark.slow
def test_a_litert_file_of_more_channels_for_one_size(run: TrainedRun, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    size, images = (40, 48), run.pixels["val/c"][None]
    deeplab.export(
        model_dir=run.model_dir, export_dir=tmp_path / "x", format="litert", fixed_size=size
    )
    runtime = open_runtime("litert", tmp_path / "x" / "model.tflite")
    assert runtime.metadata.input_channels == images.shape[-1]
    seen = pad(images, size, read_description(run.model_dir).pad_value).astype(np.float32)
    height, width = images.shape[1:3]
    expected = load_model(run.model_dir)(seen).numpy()[:, :height, :width]
    np.testing.assert_allclose(runtime.logits(images), expected, atol=2e-3 * expected.std())
