"""Using exported files: without TensorFlow where that is promised, and with clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from model_dirs import TINY, make_model_dir
from PIL import Image
from source_folders import make_folder, random_image, save

import deeplab
from deeplab.errors import DeepLabError
from deeplab.evaluation import label_function
from deeplab.evaluation.subject import find_subject
from deeplab.export.export import export_formats
from deeplab.models import resize_bilinear
from deeplab.runtimes import resize
from deeplab.runtimes.inference import open_predictor
from deeplab.runtimes.runtime import RUNTIMES, open_runtime, read_metadata
from deeplab.runtimes.windows import Windows, windowed

pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")

pytestmark = pytest.mark.usefixtures("shallow_backbone")

FILES = {"litert": "model.tflite", "onnx": "model.onnx", "saved_model": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shallow_backbone: None) -> Path:
    """A model folder and its exports for any size."""
    folder = tmp_path_factory.mktemp("runtimes")
    make_model_dir(folder / "model", **TINY, statistics=True)
    export_formats(
        model_dir=folder / "model",
        export_dir=folder / "exports",
        formats=RUNTIMES,
        dynamic_size=True,
    )
    deeplab.export(
        model_dir=folder / "model",
        export_dir=folder / "fixed",
        format="litert",
        fixed_size=(48, 64),
    )
    return folder


def file_of(folder: Path, kind: str) -> Path:
    return folder / "exports" / kind / FILES[kind]


def smooth_image(height: int, width: int) -> np.ndarray:
    coarse = tf.constant(random_image(5, 6)[None], tf.float32)
    return np.rint(resize_bilinear(coarse, height, width)).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNTIMES)
def test_scales_and_flip_are_those_of_the_model(folder: Path, kind: str) -> None:
    settings = {"eval_scales": (0.75, 1.0, 1.5), "flip": True}
    images = smooth_image(60, 81)
    predictor = open_predictor(kind, file_of(folder, kind), **settings)
    found = predictor.labels(images)
    model = deeplab.load_model(folder / "model")
    expected = label_function(model, **settings)(tf.cast(images, tf.float32)).numpy()
    assert len(np.unique(expected)) > 1
    # Resized copies are rounded, and logits resized twice.
    assert found.dtype == np.int32 and (found != expected).mean() < 0.02


@pytest.mark.parametrize("method", ["align_corners", "half_pixel"])
@pytest.mark.parametrize("target", [(33, 47), (3, 128), (1, 1), (7, 9)])
def test_resizing_is_that_of_the_network(method: str, target: tuple[int, int]) -> None:
    images = np.random.default_rng(0).normal(size=(2, 7, 9, 3)).astype(np.float32)
    found = resize.resize_bilinear(images, *target, method=method)
    expected = resize_bilinear(tf.constant(images), *target, method=method)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_scales_need_an_export_of_any_size(folder: Path) -> None:
    file = folder / "fixed" / "model.tflite"
    open_predictor("litert", file, flip=True).labels(smooth_image(20, 30))
    with pytest.raises(DeepLabError, match=r"images of 48x64 .* alone: eval_scales \[0\.5\]"):
        open_predictor("litert", file, eval_scales=(0.5,))


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_predicting_does_without_tensorflow(folder: Path, kind: str, tmp_path: Path) -> None:
    image = smooth_image(40, 52)
    save(tmp_path / "photos" / "a.png", image[0])
    words = ["predict", f"--{kind}={file_of(folder, kind)}", "--flip"]
    words += [f"--input={tmp_path}/photos", f"--output_dir={tmp_path}/out"]
    program = f"""
import sys
import deeplab
from deeplab.cli.main import main
assert deeplab.predict.__module__ == "deeplab.evaluation.prediction.predict"
code = main({words!r})
assert not {{"tensorflow", "keras", "tensorflow_datasets"}} & sys.modules.keys()
sys.exit(code)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    predictor = open_predictor(kind, file_of(folder, kind), flip=True)
    with Image.open(tmp_path / "out" / "a_index.png") as ids:
        assert np.array_equal(ids, predictor.labels(image)[0])


def test_a_photo_larger_than_the_fixed_size_is_named_and_passed_over(
    folder: Path, tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    for name, size in (("large", (49, 64)), ("small", (48, 30))):
        save(tmp_path / "photos" / f"{name}.png", random_image(*size))
    file = folder / "fixed" / "model.tflite"
    photos, out = tmp_path / "photos", tmp_path / "out"
    words = ("predict", "--litert", file, "--input", photos, "--output_dir", out)
    code, _, errors = run_command(*words)
    assert code == 1
    assert errors == (
        f"cannot segment the image {photos}/large.png: an image of 49x64 pixels (height x width) "
        "is larger than model.tflite takes: 48x64\n"
    )
    assert len(list(out.iterdir())) == 3
    code, output, errors = run_command(*words, "--eval_scales=0.5", "--overwrite")
    assert code == 1 and errors.count("\n") == 1 and "export of any size" in errors
    code, _, errors = run_command(*words, "--window=49,64", "--overwrite")
    assert (code, errors) == (1, "deeplab: window 49x64 is larger than the network takes: 48x64\n")
    assert run_command(*words, "--window=48,64", "--overwrite")[::2] == (0, "")
    assert len(list(out.iterdir())) == 6


@pytest.mark.parametrize("kind", RUNTIMES)
def test_windows_of_a_file_are_those_of_the_model(folder: Path, kind: str) -> None:
    images = smooth_image(60, 81)
    windows = Windows((40, 33), (10, 8))
    file = windowed(open_predictor(kind, file_of(folder, kind), flip=True), windows)
    model = windowed(find_subject(model_dir=folder / "model", flip=True).load(), windows)
    found, expected = file.probabilities(images), model.probabilities(images)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert (file.labels(images) == found.argmax(-1)).all()


@pytest.mark.parametrize("kind", RUNTIMES)
def test_evaluating_a_file_measures_what_the_model_measures(
    folder: Path, kind: str, tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    source = make_folder(tmp_path / "source", {"a": (40, 52), "b": (33, 47)}, suffix=".jpg")
    words = ["evaluate", f"--images={source}/images", f"--labels={source}/labels"]
    code, _, errors = run_command(
        *words, f"--{kind}={file_of(folder, kind)}", f"--output_dir={tmp_path}/file"
    )
    assert (code, errors) == (0, "")
    run_command(*words, f"--model_dir={folder}/model", f"--output_dir={tmp_path}/model")
    found, expected = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("file", "model")
    )
    assert found["checkpoint_step"] == 7 and found["output_stride"] == 16
    matrices = [np.array(metrics.pop("confusion_matrix")) for metrics in (found, expected)]
    assert np.abs(matrices[0] - matrices[1]).sum() <= 4  # of 3,631 pixels: near ties
    assert found.keys() == expected.keys()
    assert found["miou"] == pytest.approx(expected["miou"], abs=0.01)


def test_what_an_exported_file_cannot_be_asked_for(folder: Path, tmp_path: Path) -> None:
    file = file_of(folder, "onnx")
    for settings, message in (
        ({"output_dir": tmp_path, "output_stride": 8}, "output_stride 8 needs a model_dir"),
        ({"output_dir": tmp_path, "checkpoint": "best"}, "checkpoint best needs a model_dir"),
        ({}, "model.onnx is an exported file: it needs an output_dir"),
        (
            {"output_dir": tmp_path, "original_protocol": True},
            "original_protocol needs a model_dir",
        ),
        ({"output_dir": tmp_path}, "knows no data set: give --images"),
    ):
        with pytest.raises(DeepLabError, match=message):
            deeplab.evaluate(onnx=file, progress=False, **settings)


def bad_files(folder: Path, kind: str) -> dict[str, bytes]:
    data = file_of(folder, kind).read_bytes()
    return {
        "half": data[: len(data) // 2],
        "last": data[:-200],
        "first": data[:20],
        "empty": b"",
        "text": b"not a network" * 9,
    }


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_a_damaged_file_is_one_line_of_the_command(
    folder: Path, kind: str, tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    photo = save(tmp_path / "photo.png", random_image(20, 30))
    for name, data in bad_files(folder, kind).items():
        path = tmp_path / f"{name}.{kind}"
        path.write_bytes(data)
        words = (f"--{kind}={path}", f"--input={photo}", f"--output_dir={tmp_path}/out")
        code, output, errors = run_command("predict", *words)
        assert (code, output) == (1, "") and errors.startswith(f"deeplab: {path} is no ")
        assert errors.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_damaged_files_are_refused_by_name(folder: Path, kind: str, tmp_path: Path) -> None:
    for name, data in bad_files(folder, kind).items():
        path = tmp_path / f"{name}.{kind}"
        path.write_bytes(data)
        with pytest.raises(DeepLabError, match=f"^{path} is no .* file.* damaged$"):
            open_runtime(kind, path)


def test_files_of_others_are_refused(folder: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(file_of(folder, "onnx"))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "x.onnx")
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [tf.function(lambda x: x + 1).get_concrete_function(tf.TensorSpec([1, 2]))]
    )
    (tmp_path / "x.tflite").write_bytes(converter.convert())
    for kind, path in (("onnx", tmp_path / "x.onnx"), ("litert", tmp_path / "x.tflite")):
        with pytest.raises(DeepLabError, match=f"^{path} is no export of deeplab"):
            read_metadata(kind, path)
    with pytest.raises(DeepLabError, match="unknown runtime 'onx'; did you mean 'onnx'"):
        read_metadata("onx", tmp_path)


@pytest.mark.parametrize(
    ("kind", "package"), [("litert", "ai_edge_litert"), ("onnx", "onnxruntime")]
)
def test_a_package_that_is_not_installed(
    folder: Path, kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DeepLabError, match=rf"needs the package {package}.*'deeplab\[{kind}\]'"):
        open_runtime(kind, file_of(folder, kind))
