"""Models of the original for ADE20K, with and without the output that its masks ignore."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from archives import SIZE, expect_dummies, make_ade20k
from original_files import original_values, write_checkpoint, write_frozen_graph
from source_folders import save

from deeplab.data import DATASETS, DataConfig
from deeplab.data.files.decode import decode_image
from deeplab.errors import DeepLabError
from deeplab.evaluation import evaluate
from deeplab.interop.import_model import import_model
from deeplab.model_dir import load_model, read_description
from deeplab.models import ModelConfig, build_model

CONFIG = ModelConfig(
    "mobilenet_v2", num_classes=151, depth_multiplier=0.25, decoder=False, atrous_rates=()
)
NAMES = DATASETS["ade20k"].class_names or ()


def lively(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values with which features differ from pixel to pixel."""
    kind = name.rpartition("/")[2]
    if kind in ("gamma", "moving_variance"):
        return np.ones(shape, np.float32)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    inputs = shape[:2] if kind == "depthwise_weights" else shape[:-1]
    return random.normal(0, np.sqrt(2 / np.prod(inputs)), shape).astype(np.float32)


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    values = {n: lively(n, v.shape) for n, v in original_values(build_model(CONFIG)).items()}
    values["logits/semantic/biases/Momentum"] = np.zeros(151, np.float32)
    return values


@pytest.fixture(scope="module")
def checkpoint(values: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_checkpoint(tmp_path_factory.mktemp("original") / "model.ckpt", values)


def images() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (1, 33, 33, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def kept(checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder with all outputs."""
    folder = tmp_path_factory.mktemp("kept") / "model"
    import_model(
        source="tf1", checkpoint=checkpoint, model_dir=folder, dataset="ade20k", num_classes=151
    )
    return folder


@pytest.mark.parametrize(
    "flags",
    [
        "--dataset=ade20k",
        pytest.param("", marks=pytest.mark.slow),
        pytest.param("--num_classes=151", marks=pytest.mark.slow),
    ],
)
def test_output_0_is_dropped(
    checkpoint: str, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: str
) -> None:
    report = import_model(
        source="tf1",
        checkpoint=checkpoint,
        model_dir=tmp_path / "some",
        dataset="ade20k",
        original_flags=flags,
    )
    assert "dropped output 0 of 151, which the masks of ADE20K ignore" in capsys.readouterr().out
    assert any("dropped output 0 of 151" in note for note in report.notes)
    description = read_description(tmp_path / "some")
    assert description.config.num_classes == 150
    assert (description.class_names, description.ignore_label) == (NAMES, 255)
    assert description.colors == DATASETS["ade20k"].colors
    stored = json.loads((tmp_path / "some" / "import.json").read_text())
    assert stored["loaded"]["logits/semantic/weights"] == [1, 1, 256, 150]
    assert not stored["missing"] and not stored["unused"]
    all_logits, logits = (load_model(d)(images()).numpy() for d in (kept, tmp_path / "some"))
    assert logits.std() > 0
    # Another number of columns may be summed in another order.
    np.testing.assert_allclose(logits, all_logits[..., 1:], rtol=1e-5, atol=1e-5)


def test_a_frozen_graph_and_a_last_layer_of_several_branches(tmp_path: Path) -> None:
    config = dataclasses.replace(
        CONFIG, aspp=False, image_pooling=False, atrous_rates=(6, 12), logits_kernel_size=3
    )
    values = original_values(build_model(config))
    path = write_frozen_graph(tmp_path / "m.pb", values)
    import_model(source="tf1", checkpoint=path, model_dir=tmp_path / "d", dataset="ade20k")
    loaded = json.loads((tmp_path / "d" / "import.json").read_text())["loaded"]
    for name in ("logits/semantic", "logits/semantic_1"):
        assert loaded[f"{name}/weights"][-1] == loaded[f"{name}/biases"][0] == 150


def test_output_0_is_kept(kept: Path) -> None:
    description = read_description(kept)
    assert description.class_names == ("other", *NAMES)
    assert description.colors == ((0, 0, 0), *(DATASETS["ade20k"].colors or ()))
    assert description.ignore_label == 0


def test_fresh_logits_have_the_classes_of_the_data_set(checkpoint: str, tmp_path: Path) -> None:
    import_model(
        source="tf1",
        checkpoint=checkpoint,
        model_dir=tmp_path / "d",
        dataset="ade20k",
        skip=["logits"],
    )
    assert read_description(tmp_path / "d").config.num_classes == 150
    missing = json.loads((tmp_path / "d" / "import.json").read_text())["missing"]
    assert missing.keys() == {"logits/semantic/weights", "logits/semantic/biases"}


def test_a_decoder_that_gives_the_logits_keeps_them(tmp_path: Path) -> None:
    config = ModelConfig(
        "mobilenet_v3_small",
        num_classes=151,
        decoder_strides=(8,),
        decoder_merge="sum",
        decoder_outputs_logits=True,
        decoder_channels=151,
        decoder_separable=False,
        atrous_rates=(),
        aspp_projection=False,
    )
    values = original_values(build_model(config))
    path = write_checkpoint(tmp_path / "m", values)
    with pytest.raises(DeepLabError, match=r"has 151 classes.*--num_classes=151 keeps class 0$"):
        import_model(source="tf1", checkpoint=path, model_dir=tmp_path / "d", dataset="ade20k")


# Evaluation


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [pytest.param(None, marks=pytest.mark.slow), 151])
def test_evaluation_is_that_of_the_original(
    values: dict[str, np.ndarray],
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    num_classes: int | None,
) -> None:
    expect_dummies(monkeypatch, "ade20k")
    source = make_ade20k(tmp_path / "source")
    base = source / "ADEChallengeData2016"
    image = base / "images/validation/ADE_val_00000001.jpg"
    # Raised by the median of what it lacks, output 0 wins in half of the pixels.
    logits = logits_of(kept, image)
    winner = np.bincount(logits[..., 1:].argmax(-1).ravel()).argmax() + 1
    label = np.random.default_rng(2).choice(np.array([0, winner, 3], np.uint8), SIZE)
    save(base / "annotations/validation" / f"{image.stem}.png", label)
    biases = values["logits/semantic/biases"].copy()
    biases[0] += np.median(logits[..., 1:].max(-1) - logits[..., 0])
    checkpoint = write_checkpoint(tmp_path / "m", {**values, "logits/semantic/biases": biases})
    folder = tmp_path / "d"
    import_model(
        source="tf1",
        checkpoint=checkpoint,
        model_dir=folder,
        dataset="ade20k",
        num_classes=num_classes,
    )
    metrics = evaluate(
        model_dir=folder,
        data=DataConfig(dataset="ade20k"),
        data_dir=tmp_path / "data",
        source_dir=source,
        progress=False,
    )
    miou, matrix = expected(folder, image, label, shift=0 if num_classes else 1)
    assert metrics["miou"] == pytest.approx(miou, abs=1e-12) and miou > 0
    others = matrix[:, 0].sum()
    assert others == 0 if num_classes is None else 0 < others < matrix.sum()
    kept_rows = matrix if num_classes else matrix[1:, 1:]
    np.testing.assert_array_equal(metrics["confusion_matrix"], kept_rows)
    if num_classes is None:
        return
    assert metrics["per_class_iou"]["other"] == 0
    # The archive's own masks, as two folders: 0 is ignored there.
    again = evaluate(
        model_dir=folder,
        images=base / "images/validation",
        labels=base / "annotations/validation",
        progress=False,
    )
    assert again["confusion_matrix"] == metrics["confusion_matrix"]


def logits_of(model_dir: Path, image: Path) -> np.ndarray:
    pixels = tf.cast(decode_image(tf.io.read_file(str(image))), tf.float32)
    logits: np.ndarray = load_model(model_dir)(pixels[None]).numpy()[0]
    return logits


def expected(
    model_dir: Path, image: Path, label: np.ndarray, *, shift: int
) -> tuple[float, np.ndarray]:
    """mIoU and confusion matrix as of the original's eval.py: labels 0..150, 0 weighs nothing.

    Args:
        model_dir: the model.
        image: the image.
        label: its mask, as stored.
        shift: what a predicted class has to be raised by to be one of 0..150.
    """
    predicted = logits_of(model_dir, image).argmax(-1) + shift
    matrix = np.zeros((151, 151), int)
    np.add.at(matrix, (label[label != 0].astype(int), predicted[label != 0]), 1)
    hits = np.diagonal(matrix)
    union = matrix.sum(0) + matrix.sum(1) - hits
    return float((hits[union > 0] / union[union > 0]).mean()), matrix


def test_a_model_of_numbers_is_told_how_many_the_data_set_has(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, "ade20k")
    import_model(source="tf1", checkpoint=checkpoint, model_dir=tmp_path / "d")
    with pytest.raises(DeepLabError, match="151 classes and the data set ade20k has 150"):
        evaluate(
            model_dir=tmp_path / "d",
            data=DataConfig(dataset="ade20k"),
            data_dir=tmp_path / "data",
            source_dir=make_ade20k(tmp_path / "source"),
            progress=False,
        )
