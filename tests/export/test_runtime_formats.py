"""ONNX and LiteRT files: the same function as the model's, at the sizes they promise."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_dirs import TINY, make_model_dir
from PIL import Image
from shallow_backbone import shallow_mobilenet_v2
from source_folders import random_image, save

import deeplab
from deeplab.cli.main import main
from deeplab.errors import DeepLabError
from deeplab.export import litert as litert_format
from deeplab.export import onnx as onnx_format
from deeplab.export.export import export_formats
from deeplab.export.images import fitted
from deeplab.export.verify import Tolerance
from deeplab.model_dir import read_description
from deeplab.runtimes.runtime import Runtime, open_runtime

onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")

pytestmark = pytest.mark.slow

NAMES = ("sky", "road", "tree")
FILES = {"litert": litert_format.FILE, "onnx": onnx_format.FILE}


@pytest.fixture(scope="module", params=["align_corners", "half_pixel"])
def exports(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A model folder, and its exports for any size, in a folder each."""
    folder = tmp_path_factory.mktemp(request.param)
    # At output stride 8 the backbone itself has atrous convolutions.
    settings = {**TINY, "resize": request.param, "output_stride": 8, "statistics": True}
    make_model_dir(folder / "model", class_names=NAMES, **settings)
    export_formats(
        model_dir=folder / "model",
        export_dir=folder / "exports",
        formats=tuple(FILES),
        dynamic_size=True,
    )
    return folder / "model", folder / "exports"


def opened(exports: tuple[Path, Path], kind: str) -> Runtime:
    return open_runtime(kind, exports[1] / kind / FILES[kind])


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)


def expected_logits(model_dir: Path, images: np.ndarray) -> np.ndarray:
    return deeplab.load_model(model_dir)(images.astype(np.float32)).numpy()


@pytest.mark.parametrize("kind", FILES)
def test_any_size_and_number_of_images(exports: tuple[Path, Path], kind: str) -> None:
    runtime = opened(exports, kind)
    for size in ((1, 65, 65), (2, 48, 71), (1, 33, 129)):
        images = random_images(*size)
        expected, logits = expected_logits(exports[0], images), runtime.logits(images)
        np.testing.assert_allclose(logits, expected, atol=1e-3 * expected.std())
        classes = runtime.classes(images)
        assert classes.dtype == np.int32
        np.testing.assert_array_equal(classes, logits.argmax(axis=-1))


@pytest.mark.parametrize("kind", FILES)
def test_what_a_file_says_of_itself(exports: tuple[Path, Path], kind: str) -> None:
    runtime = opened(exports, kind)
    assert runtime.fixed_size is None
    stated = runtime.metadata
    assert (stated.class_names, stated.step, stated.output_stride) == (NAMES, 7, 8)
    assert (stated.ignore_label, stated.pad_value) == (255, (127.5,) * 3)
    assert stated.resize == exports[0].parent.name.rstrip("0123456789")
    record = json.loads((exports[1] / kind / "export.json").read_text())
    assert record["format"] == kind and record["metadata"]["classes"] == list(NAMES)
    assert record["size_bytes"] == runtime.path.stat().st_size
    assert record["compared"]["difference"] < 1e-3 and record["compared"]["num_images"] == 2
    assert record["time"]["milliseconds"] > 0 and record["time"]["size"] == [128, 192]


def test_names_types_and_axes_of_an_onnx_file(exports: tuple[Path, Path]) -> None:
    model = onnx.load(exports[1] / "onnx" / "model.onnx")
    onnx.checker.check_model(model)
    assert [(entry.domain, entry.version) for entry in model.opset_import if not entry.domain] == [
        ("", onnx_format.OPSET)
    ]

    def described(value: Any) -> tuple[str, int, list[str | int]]:
        tensor = value.type.tensor_type
        return value.name, tensor.elem_type, [a.dim_param or a.dim_value for a in tensor.shape.dim]

    types = onnx.TensorProto
    assert list(map(described, model.graph.input)) == [("images", types.UINT8, ["N", "H", "W", 3])]
    assert list(map(described, model.graph.output)) == [
        ("classes", types.INT32, ["N", "H", "W"]),
        ("logits", types.FLOAT, ["N", "H", "W", len(NAMES)]),
    ]


def attributes(node: Any) -> dict[str, Any]:
    return {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}


def test_atrous_convolutions_are_dilated(exports: tuple[Path, Path]) -> None:
    graph = onnx.load(exports[1] / "onnx" / "model.onnx").graph
    dilated = [
        attributes(node)
        for node in graph.node
        if node.op_type == "Conv" and max(attributes(node).get("dilations", [1])) > 1
    ]
    assert len(dilated) > 3
    for convolution in dilated:
        rate = convolution["dilations"][0]
        assert convolution["pads"] == [rate] * 4  # of 3x3
        assert convolution.get("auto_pad", b"NOTSET") == b"NOTSET"
    kinds = {node.op_type for node in graph.node}
    assert not kinds & {"SpaceToDepth", "DepthToSpace", "Pad", "Loop", "If"}
    record = json.loads((exports[1] / "litert" / "export.json").read_text())
    assert not any(re.match("SPACE_TO|BATCH_TO|CUSTOM|FLEX", name) for name in record["operations"])


def test_a_litert_file_has_labels_and_weights_once(exports: tuple[Path, Path]) -> None:
    folder = exports[1] / "litert"
    assert (folder / "labels.txt").read_text().splitlines() == list(NAMES)
    weights = sum(weight.numpy().nbytes for weight in deeplab.load_model(exports[0]).weights)
    assert (folder / "model.tflite").stat().st_size < 1.2 * weights


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Runtime]:
    """A model folder, and its LiteRT file for one size."""
    folder = tmp_path_factory.mktemp("fixed")
    make_model_dir(folder / "model", **TINY, statistics=True)
    target = folder / "export"
    deeplab.export(
        model_dir=folder / "model", export_dir=target, format="litert", fixed_size=(48, 64)
    )
    return folder / "model", open_runtime("litert", target / "model.tflite")


def test_smaller_images_are_padded_to_a_fixed_size(fixed: tuple[Path, Runtime]) -> None:
    model_dir, runtime = fixed
    assert runtime.fixed_size == (48, 64)
    images = random_images(2, 40, 51)
    surrounded = np.full((2, 48, 64, 3), 128, np.uint8)
    surrounded[:, :40, :51] = images
    expected = expected_logits(model_dir, surrounded)[:, :40, :51]
    logits = runtime.logits(images)
    np.testing.assert_allclose(logits, expected, atol=1e-3 * expected.std())
    np.testing.assert_array_equal(runtime.classes(images), logits.argmax(axis=-1))


def test_larger_images_are_refused_at_a_fixed_size(fixed: tuple[Path, Runtime]) -> None:
    with pytest.raises(DeepLabError, match="49x20 pixels .* than model.tflite takes: 48x64"):
        fixed[1].classes(random_images(1, 49, 20))


@pytest.mark.parametrize("name", ["litert_float16", "litert_dynamic"])
def test_fewer_bits_make_a_smaller_file(
    name: str, fixed: tuple[Path, Runtime], tmp_path: Path
) -> None:
    model_dir, runtime = fixed
    result = deeplab.export(
        model_dir=model_dir, export_dir=tmp_path / "x", format=name, fixed_size=(48, 64)
    )
    assert result.difference > 1e-4
    small = open_runtime("litert", tmp_path / "x" / "model.tflite")
    assert small.path.stat().st_size < 0.8 * runtime.path.stat().st_size
    images = random_images(1, 48, 64)
    assert (small.classes(images) != runtime.classes(images)).mean() < 0.05


def test_integers_alone(
    fixed: tuple[Path, Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random weights make features whose mean leaves 8 bits no room for what differs.
    variant = litert_format.VARIANTS["litert_int8"]._replace(tolerance=Tolerance(9.0, 1.0))
    monkeypatch.setitem(litert_format.VARIANTS, "litert_int8", variant)
    for seed in range(2):
        save(tmp_path / "photos" / f"{seed}.png", random_image(50, 60 + seed, seed))
    deeplab.export(
        model_dir=fixed[0],
        export_dir=tmp_path / "x",
        format="litert_int8",
        fixed_size=(48, 64),
        calibration_images=tmp_path / "photos",
    )
    small = open_runtime("litert", tmp_path / "x" / "model.tflite")
    assert small.logits(random_images(1, 48, 64)).dtype == np.float32
    record = json.loads((tmp_path / "x" / "export.json").read_text())
    assert record["calibrated_on"] == str(tmp_path / "photos")
    # All but the two ends of the network.
    assert record["operations"]["CAST"] == record["operations"]["DEQUANTIZE"] == 1


@pytest.mark.slow
def test_real_weights_keep_their_classes(reference_data: Path, tmp_path: Path) -> None:
    weights = reference_data / "weights" / "deeplabv3_257_mv_gpu.tflite"
    words = (f"--checkpoint={weights}", "--dataset=voc_2012", f"--model_dir={tmp_path}/model")
    assert main(["import", "--source=litert", *words]) == 0
    paths = sorted((reference_data / "data" / "voc46" / "images").iterdir())
    for path in paths[:40:2]:
        (tmp_path / "seen").mkdir(exist_ok=True)
        (tmp_path / "seen" / path.name).symlink_to(path)
    model = deeplab.load_model(tmp_path / "model")
    exports = {"litert": 1e-3, "litert_float16": 0.01, "litert_dynamic": 0.05, "litert_int8": 0.1}
    export_formats(
        model_dir=tmp_path / "model",
        export_dir=tmp_path / "exports",
        formats=list(exports),
        fixed_size=(513, 513),
        calibration_images=tmp_path / "seen",
    )
    deeplab.export(
        model_dir=tmp_path / "model", export_dir=tmp_path / "exports" / "onnx", format="onnx"
    )
    photos = [np.asarray(Image.open(path).convert("RGB"))[None] for path in paths[1:10:2]]
    pad_value = read_description(tmp_path / "model").pad_value
    for name, limit in {**exports, "onnx": 1e-3}.items():
        kind = "onnx" if name == "onnx" else "litert"
        runtime = open_runtime(kind, tmp_path / "exports" / name / FILES[kind])
        for photo in photos:
            seen = photo if kind == "onnx" else fitted(photo, (513, 513), pad_value)
            expected = model(seen.astype(np.float32)).numpy().argmax(axis=-1)
            expected = expected[:, : photo.shape[1], : photo.shape[2]]
            assert (runtime.classes(photo) != expected).mean() < limit


@pytest.mark.parametrize(
    ("name", "images", "message"),
    [
        ("litert_int8", None, "litert_int8 needs images .*: give --calibration_images"),
        ("litert", "photos", "calibration_images photos: litert needs none"),
        ("litert_int8", "nowhere", "there is no file or folder nowhere"),
    ],
)
def test_calibration_without_images(
    name: str, images: str | None, message: str, fixed: tuple[Path, Runtime], tmp_path: Path
) -> None:
    with pytest.raises(DeepLabError, match=message):
        deeplab.export(
            model_dir=fixed[0], export_dir=tmp_path / "x", format=name, calibration_images=images
        )
    assert not (tmp_path / "x").exists()


def test_the_size_of_training_is_the_size_of_the_file(tmp_path: Path) -> None:
    data = {"dataset": "shapes", "crop_size": [33, 49], "eval_split": None}
    training = {"data": data, "data_dir": str(tmp_path / "none"), "source_dir": None}
    make_model_dir(tmp_path / "model", **TINY, training=training)
    deeplab.export(model_dir=tmp_path / "model", export_dir=tmp_path / "x", format="litert")
    assert open_runtime("litert", tmp_path / "x" / "model.tflite").fixed_size == (33, 49)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "onnx",
            {"fixed_size": (8, 8)},
            "format onnx has no fixed_size; formats that do: litert, ",
        ),
        ("saved_model", {"dynamic_size": True}, "dynamic_size is for the formats litert, "),
    ],
)
def test_a_size_for_formats_that_have_none(
    name: str, size: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DeepLabError, match=message):
        deeplab.export(model_dir=tmp_path, export_dir=tmp_path / "x", format=name, **size)


@pytest.mark.parametrize(
    ("name", "package"),
    [("onnx", "tf2onnx"), ("onnx", "onnxruntime"), ("litert", "ai_edge_litert")],
)
def test_a_missing_package_is_said_before_anything_slow(
    name: str,
    package: str,
    fixed: tuple[Path, Runtime],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_command: Callable[..., tuple[int, str, str]],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    litert_format._schema.cache_clear()
    code, output, errors = run_command(
        "export", "--model_dir", fixed[0], "--export_dir", tmp_path / "x", f"--format={name}"
    )
    assert (code, output) == (1, "") and not (tmp_path / "x").exists()
    assert errors == (
        f"deeplab: export --format={name} needs the package {package}, which is not installed: "
        f"pip install 'deeplab[{name}]'\n"
    )


def test_operations_that_a_format_lacks_are_named(
    tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    words = ("export", "--model_dir", tmp_path / "model", "--export_dir", tmp_path / "x")
    with shallow_mobilenet_v2():
        make_model_dir(tmp_path / "model", **TINY, image_pyramid=(0.7, 1.0))
        code, _, errors = run_command(*words, "--format=litert", "--dynamic_size")
        # The sizes of the pyramid need float64.
        assert (code, errors) == (
            1,
            "deeplab: LiteRT has no AddV2, Mul as this network needs it; --fixed_size may do\n",
        )
        assert not (tmp_path / "x").exists()
        assert run_command(*words, "--format=litert", "--fixed_size=33")[::2] == (0, "")


@pytest.mark.parametrize("name", ["onnx", "litert_dynamic"])
def test_a_file_that_differs_is_refused(
    name: str, fixed: tuple[Path, Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = onnx_format if name == "onnx" else litert_format
    rewrite = module.with_dilated_convolutions

    def wrong(graph: Any, **settings: Any) -> Any:
        rewritten = rewrite(graph, **settings)
        for node in rewritten.node:
            if node.op == "Relu":
                node.op = "Identity"
        return rewritten

    monkeypatch.setattr(module, "with_dilated_convolutions", wrong)
    with pytest.raises(DeepLabError, match="the exported model is not the Keras model"):
        deeplab.export(model_dir=fixed[0], export_dir=tmp_path / "x", format=name)
    assert not list(tmp_path.iterdir())


def test_openvino_reads_the_same_file(exports: tuple[Path, Path]) -> None:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    # As docs/serving.md has it, but for the precision: some processors would use bfloat16.
    model = core.compile_model(
        exports[1] / "onnx" / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for size in ((1, 65, 65), (2, 48, 71)):
        images = random_images(*size)
        expected = expected_logits(exports[0], images)
        results = model(images)
        np.testing.assert_allclose(results["logits"], expected, atol=2e-3 * expected.std())
        assert (results["classes"] != expected.argmax(axis=-1)).mean() < 1e-3
