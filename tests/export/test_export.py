"""The exported model: equal to the Keras model, small, and free of Keras."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from image_bytes import encoded, orientation
from model_dirs import TINY, make_model_dir, realistic_statistics
from PIL import Image

import deeplab
from deeplab.model_dir import save_checkpoint
from deeplab.models import InferenceNetwork, variables_by_path
from deeplab.runtimes.runtime import read_metadata

NAMES = ("sky", "road", "tree")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "[1] a\\*?{b}"  # TensorFlow takes it for a pattern
    model = make_model_dir(folder, class_names=NAMES, step=4)
    realistic_statistics(model)
    save_checkpoint(folder / "checkpoints", 5, {"model": variables_by_path(model)}, keep=1)
    return folder


@pytest.fixture(scope="module")
def export_dir(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("export") / "deep [1] a\\*?{b}" / "saved"
    result = deeplab.export(model_dir=model_dir, export_dir=target)
    assert result.num_images > 0
    assert result.difference < 1e-4
    return target.rename(target.parents[1] / "saved")


@pytest.mark.parametrize("size", [(1, 65, 65), (2, 48, 71)])
def test_signatures_equal_the_model(
    model_dir: Path, export_dir: Path, size: tuple[int, int, int]
) -> None:
    images = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    expected = deeplab.load_model(model_dir)(images.astype(np.float32)).numpy()
    signatures = tf.saved_model.load(str(export_dir)).signatures
    logits = signatures["logits"](images=tf.constant(images, tf.float32))["logits"].numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4 * expected.std())

    classes = signatures["serving_default"](images=tf.constant(images))
    assert list(classes) == ["classes"]
    assert classes["classes"].dtype == tf.int32
    np.testing.assert_array_equal(classes["classes"], logits.argmax(-1))

    both = signatures["probabilities"](images=tf.constant(images))
    assert both.keys() == {"classes", "probabilities"}
    np.testing.assert_allclose(both["probabilities"], tf.nn.softmax(logits), atol=1e-5)

    files = [encoded(image) for image in images]
    from_bytes = signatures["serving_bytes"](image_bytes=tf.constant(files))
    np.testing.assert_array_equal(from_bytes["classes"], both["classes"])
    np.testing.assert_array_equal(from_bytes["sizes"], [images.shape[1:3]] * len(files))


def test_jpeg_is_decoded_as_accurately_as_elsewhere(export_dir: Path) -> None:
    image = np.random.default_rng(4).integers(0, 256, (40, 56, 3), np.uint8)
    file = encoded(image, "JPEG")
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    signatures = tf.saved_model.load(str(export_dir)).signatures
    from_bytes = signatures["serving_bytes"](image_bytes=tf.constant([file]))
    from_pixels = signatures["probabilities"](images=tf.constant(pixels[None]))
    np.testing.assert_allclose(from_bytes["probabilities"], from_pixels["probabilities"], atol=1e-6)


def test_no_result_depends_on_the_batch_mates(export_dir: Path) -> None:
    generator = np.random.default_rng(5)
    sizes = [(33, 64), (65, 40), (48, 48)]
    photos = [generator.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    files = [encoded(photo, exif=orientation(6)) for photo in photos]  # clockwise
    loaded = tf.saved_model.load(str(export_dir))
    outputs = loaded.signatures["serving_bytes"](image_bytes=tf.constant(files))
    np.testing.assert_array_equal(outputs["sizes"], [size[::-1] for size in sizes])
    assert outputs["classes"].shape == (3, 64, 65)
    for index, (width, height) in enumerate(sizes):
        image = np.rot90(photos[index], -1)[None]
        alone = loaded.signatures["probabilities"](images=tf.constant(image))
        for name, padding in (("classes", 255), ("probabilities", 0)):
            result = outputs[name][index].numpy()
            np.testing.assert_array_equal(result[:height, :width], alone[name][0])
            result[:height, :width] = padding
            np.testing.assert_array_equal(result, padding)


@pytest.mark.slow
def test_loads_without_keras_or_this_package(export_dir: Path, tmp_path: Path) -> None:
    program = f"""
import sys, tensorflow as tf
model = tf.saved_model.load({str(export_dir)!r})
out = model.signatures["serving_default"](images=tf.zeros([1, 30, 40, 3], tf.uint8))
assert out["classes"].shape == (1, 30, 40)
assert "deeplab" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True)


def test_metadata_and_size(model_dir: Path, export_dir: Path) -> None:
    metadata = json.loads((export_dir / "assets" / "metadata.json").read_text())
    assert metadata["classes"] == list(NAMES)
    assert metadata["source"]["step"] == 5
    assert metadata["metrics"] is None
    assert metadata["resize"] == "align_corners"
    assert not (export_dir / "metadata.json").exists()
    weights = sum(weight.numpy().nbytes for weight in deeplab.load_model(model_dir).weights)
    stored = sum(path.stat().st_size for path in export_dir.rglob("*") if path.is_file())
    assert stored < 1.2 * weights


@pytest.mark.slow
def test_an_export_says_how_its_network_resizes(export_dir: Path, tmp_path: Path) -> None:
    make_model_dir(tmp_path / "model", **TINY, resize="half_pixel")
    # The logits of both are compared before the export gets its name.
    deeplab.export(model_dir=tmp_path / "model", export_dir=tmp_path / "export")
    stated = [read_metadata("saved_model", path) for path in (export_dir, tmp_path / "export")]
    assert [metadata.resize for metadata in stated] == ["align_corners", "half_pixel"]


@pytest.mark.slow
def test_existing_folder_is_kept(model_dir: Path, export_dir: Path, tmp_path: Path) -> None:
    before = (export_dir / "fingerprint.pb").read_bytes()
    with pytest.raises(deeplab.DeepLabError, match="exists; --overwrite replaces it"):
        deeplab.export(model_dir=model_dir, export_dir=export_dir)
    assert (export_dir / "fingerprint.pb").read_bytes() == before
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(deeplab.DeepLabError, match="is not an exported model"):
        deeplab.export(model_dir=model_dir, export_dir=tmp_path, overwrite=True)
    deeplab.export(model_dir=model_dir, export_dir=export_dir, output_stride=8, overwrite=True)
    metadata = json.loads((export_dir / "assets" / "metadata.json").read_text())
    assert metadata["source"]["output_stride"] == 8


@pytest.mark.slow
def test_export_that_differs_is_refused(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = InferenceNetwork._weight

    def wrong(network: InferenceNetwork, name: str, value: Callable[[], tf.Tensor]) -> tf.Variable:
        wrong_by = 1.0 if name == "aspp.conv0.batch_norm/bias" else 0.0
        return weight(network, name, lambda: value() + wrong_by)

    monkeypatch.setattr(InferenceNetwork, "_weight", wrong)
    with pytest.raises(deeplab.DeepLabError, match="the exported model is not the Keras model"):
        deeplab.export(model_dir=model_dir, export_dir=tmp_path / "saved")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_weights_lie_beside_the_graph(model_dir: Path, export_dir: Path) -> None:
    # Constants are copied with every graph that holds them.
    weights = sum(weight.numpy().nbytes for weight in deeplab.load_model(model_dir).weights)
    loaded = tf.saved_model.load(str(export_dir))
    graph = loaded.core.graph.as_graph_def()
    constants = sum(n.attr["value"].tensor.ByteSize() for n in graph.node if n.op == "Const")
    assert constants < 0.2 * weights
    operations = {operation.type for operation in loaded.core.graph.get_operations()}
    assert operations >= {"ReadVariableOp", "BiasAdd", "BatchToSpaceND"}
    assert "FusedBatchNormV3" not in operations


@pytest.mark.slow
def test_memory_and_time_beside_the_export_of_keras() -> None:
    # Measured: 0.72 of the memory, 0.74 of the processor time.
    tool = Path(__file__).parents[2] / "tools" / "benchmarks" / "export_memory.py"
    paths = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    result = subprocess.run(
        [sys.executable, tool, "--rounds=1"],
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
        capture_output=True,
        text=True,
    )
    rows = {line[:24].strip(): line[24:].split() for line in result.stdout.splitlines()[2:]}
    keras, ours = rows["model.export"], rows["deeplab export"]
    assert ours[-1] == "0.0000%"  # pixels of other classes
    peak, processor = 0, 4
    assert float(ours[peak]) < 0.9 * float(keras[peak])
    assert float(ours[processor]) < float(keras[processor])


def test_unknown_format(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(deeplab.DeepLabError, match="unknown format 'onxx'"):
        deeplab.export(model_dir=model_dir, export_dir=tmp_path / "x", format="onxx")
