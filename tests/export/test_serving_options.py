"""Exports for images of one size, and exports that average over scales and mirrored images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from image_bytes import encoded
from model_dirs import TINY, make_model_dir

import deeplab
from deeplab.errors import DeepLabError
from deeplab.evaluation.inference import probability_function
from deeplab.export import FORMATS

pytestmark = pytest.mark.usefixtures("shallow_backbone")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory, shallow_backbone: None) -> Path:
    folder = tmp_path_factory.mktemp("model") / "x"
    make_model_dir(folder, resize="half_pixel", **TINY)
    return folder


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.slow
def test_one_size(model_dir: Path, tmp_path: Path, run_command: Run) -> None:
    words = ("--model_dir", model_dir, "--export_dir", tmp_path / "x", "--fixed_size=48,64")
    code, _, errors = run_command("export", *words)
    assert (code, errors) == (0, "")
    loaded = tf.saved_model.load(str(tmp_path / "x"))
    signature = loaded.signatures["logits"]
    assert signature.structured_input_signature[1]["images"].shape == [None, 48, 64, 3]
    stated = json.loads((tmp_path / "x/assets/metadata.json").read_text())["preprocessing"]
    assert stated["size"] == [48, 64]

    # Smaller files are padded by the color that the network knows as nothing, larger ones refused.
    model = deeplab.load_model(model_dir)
    images = [photo(48, 64), photo(40, 33)]
    serve = loaded.signatures["serving_bytes"]
    outputs = serve(image_bytes=tf.constant([encoded(image) for image in images]))
    np.testing.assert_array_equal(outputs["sizes"], [(48, 64), (40, 33)])
    padded = np.full((2, 48, 64, 3), 127.5, np.float32)
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        padded[index, :height, :width] = image
    probabilities = tf.nn.softmax(model(padded)).numpy()
    probabilities[1, 40:] = probabilities[1, :, 33:] = 0
    np.testing.assert_allclose(outputs["probabilities"], probabilities, atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="larger than 48x64"):
        serve(image_bytes=tf.constant([encoded(photo(49, 20))]))


@pytest.mark.slow
def test_averages(model_dir: Path, tmp_path: Path, run_command: Run) -> None:
    words = ("--model_dir", model_dir, "--export_dir", tmp_path / "x")
    code, _, errors = run_command("export", *words, "--eval_scales=0.5,1.25", "--flip")
    assert (code, errors) == (0, "")
    model = deeplab.load_model(model_dir)
    expected = probability_function(model, eval_scales=(0.5, 1.25), flip=True)
    signatures = tf.saved_model.load(str(tmp_path / "x")).signatures
    for image in (photo(48, 64), photo(41, 33)):
        wanted = expected(image[None].astype(np.float32))
        found = signatures["probabilities"](images=tf.constant(image[None]))
        np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-5)
        np.testing.assert_array_equal(found["classes"], tf.argmax(wanted, -1))
        logits = signatures["logits"](images=tf.constant(image[None], tf.float32))["logits"]
        np.testing.assert_allclose(tf.nn.softmax(logits), wanted, atol=1e-5)
    stated = json.loads((tmp_path / "x/assets/metadata.json").read_text())["inference"]
    assert stated == {"eval_scales": [0.5, 1.25], "flip": True}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_formats_that_have_no_such_thing_say_so(model_dir: Path, tmp_path: Path, name: str) -> None:
    for setting, has, value in (
        ("fixed_size", FORMATS[name].has_sizes, {"fixed_size": (48, 64)}),
        ("eval_scales or flip", FORMATS[name].has_averages, {"flip": True}),
    ):
        if not has:
            with pytest.raises(DeepLabError, match=f"format {name} has no {setting}"):
                deeplab.export(model_dir=model_dir, export_dir=tmp_path / "x", format=name, **value)
    assert not list(tmp_path.iterdir())


def test_bad_values(model_dir: Path, tmp_path: Path, run_command: Run) -> None:
    words = ("export", "--model_dir", model_dir, "--export_dir", tmp_path / "x")
    assert run_command(*words, "--fixed_size=48x64")[0] == 2
    assert run_command(*words, "--eval_scales=0")[0] == 2
    with pytest.raises(DeepLabError, match="eval_scales must be"):
        deeplab.export(model_dir=model_dir, export_dir=tmp_path / "x", eval_scales=())
    assert not list(tmp_path.iterdir())
