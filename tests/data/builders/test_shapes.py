"""The built-in data set `shapes`: the same everywhere, valid, and not solved by color."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from deeplab.data.builders import shapes_scene
from deeplab.data.builders.shapes import (
    CLASS_NAMES,
    COLORS,
    IGNORE_LABEL,
    SPLIT_SIZES,
    Shapes,
    encoded_scene,
)
from deeplab.data.builders.shapes_scene import Scene, draw_scene

ROOT = Path(__file__).resolve().parents[3]
WIRE = CLASS_NAMES.index("wire")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene("train", index) for index in range(100)]


@pytest.fixture(scope="module")
def difficulty() -> ModuleType:
    path = ROOT / "tools" / "benchmarks" / "shapes_difficulty.py"
    spec = importlib.util.spec_from_file_location("shapes_difficulty", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_scene_depends_on_split_and_index_alone() -> None:
    first = draw_scene("train", 7)
    draw_scene("train", 8)
    again = draw_scene("train", 7)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    assert (first.image != draw_scene("train", 8).image).any()
    assert (first.image != draw_scene("validation", 7).image).any()


def test_another_process_draws_the_same_bytes() -> None:
    script = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]); import shapes_scene as s;"
        "scene = s.draw_scene('train', 7);"
        "print(hashlib.sha256(scene.image.tobytes() + scene.label.tobytes()).hexdigest())"
    )
    # Imported without the package: the scene needs NumPy only, and TensorFlow costs seconds.
    folder = Path(shapes_scene.__file__).parent
    output = subprocess.run(
        [sys.executable, "-c", script, str(folder)], check=True, capture_output=True, text=True
    ).stdout
    scene = draw_scene("train", 7)
    here = hashlib.sha256(scene.image.tobytes() + scene.label.tobytes()).hexdigest()
    assert output.strip() == here


@pytest.mark.parametrize(("split", "index"), [("test", 0), ("train", -1)])
def test_impossible_scenes_are_refused(split: str, index: int) -> None:
    with pytest.raises(ValueError, match=r"'test'; choices: train, validation|-1"):
        draw_scene(split, index)


def test_images_and_labels_are_valid(scenes: list[Scene]) -> None:
    allowed = {*range(len(CLASS_NAMES)), IGNORE_LABEL}
    for scene in scenes:
        assert scene.image.shape == (160, 160, 3) and scene.image.dtype == np.uint8
        assert scene.label.shape == (160, 160) and scene.label.dtype == np.uint8
        assert set(np.unique(scene.label).tolist()) <= allowed
        assert scene.image.std() > 10


def test_there_is_a_name_and_a_color_for_each_class() -> None:
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == len(COLORS) == len(set(COLORS))
    assert len(shapes_scene.CLASS_HUES) == len(CLASS_NAMES) - 1


def test_every_class_is_common(scenes: list[Scene]) -> None:
    for class_id, name in enumerate(CLASS_NAMES):
        images = sum((scene.label == class_id).any() for scene in scenes)
        assert images >= 0.7 * len(scenes), name


def test_regions_never_touch_and_their_border_is_thin(scenes: list[Scene]) -> None:
    for scene in scenes:
        label = scene.label.astype(int)
        for a, b in ((label[1:], label[:-1]), (label[:, 1:], label[:, :-1])):
            touching = (a != b) & (a != IGNORE_LABEL) & (b != IGNORE_LABEL)
            # Where a later object covers a border, two labels may meet for a pixel or so.
            assert touching.mean() < 0.002
        ignored = label == IGNORE_LABEL
        assert 0 < ignored.mean() < 0.12
        solid = ignored[1:-1, 1:-1].copy()
        for dy in (0, 1, 2):
            for dx in (0, 1, 2):
                solid &= ignored[dy : dy + 158, dx : dx + 158]
        assert solid.mean() < 0.002  # hardly any 3x3 block is ignored as a whole


def test_wires_are_too_thin_for_a_coarse_feature_map(scenes: list[Scene]) -> None:
    wire = np.stack([scene.label == WIRE for scene in scenes])
    blocks = wire.reshape(len(scenes), 10, 16, 10, 16).mean(axis=(2, 4))
    assert wire.mean() > 0.01
    assert (blocks > 0.5).mean() < 0.01


def test_color_alone_does_not_solve_it(scenes: list[Scene], difficulty: ModuleType) -> None:
    # 16 bins: a finer histogram of so few images would be mostly empty.
    validation = [draw_scene("validation", index) for index in range(40)]
    ious = difficulty.color_ious(
        difficulty.color_counts(scenes, 16), difficulty.color_counts(validation, 16)
    )
    assert 1 / len(CLASS_NAMES) / 2 < ious.mean() < 0.5


def test_the_histogram_classifier_counts_right(difficulty: ModuleType) -> None:
    image = np.array([[[255, 0, 0], [255, 0, 0], [255, 0, 0], [0, 0, 255]]], np.uint8)
    train = difficulty.color_counts([Scene(image, np.array([[1, 1, 2, 3]], np.uint8))], 32)
    assert train.sum() == 4 and (train.sum(axis=1) > 0).sum() == 2
    seen = difficulty.color_counts([Scene(image, np.array([[1, 2, 255, 3]], np.uint8))], 32)
    with np.errstate(invalid="ignore"):
        ious = difficulty.color_ious(train, seen)
    assert ious[1] == 0.5 and ious[2] == 0 and ious[3] == 1


def test_near_boundary_is_a_band_of_the_width(difficulty: ModuleType) -> None:
    label = np.zeros((9, 20), np.uint8)
    label[:, 10:] = 1
    near = difficulty.near_boundary(label, 3)
    assert near[:, 7:13].all() and near.sum() == 9 * 6


@pytest.mark.usefixtures("no_network")
def test_prepares_offline_in_order_and_reads_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"train": 70, "validation": 3}
    monkeypatch.setattr(Shapes, "split_sizes", few)
    tfds.disable_progress_bar()
    builder = Shapes(data_dir=tmp_path)
    builder.download_and_prepare()
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert sizes == few
    assert builder.info.features["label"].names == list(CLASS_NAMES)

    skip = {"image": tfds.decode.SkipDecoding(), "label": tfds.decode.SkipDecoding()}
    raw = builder.as_dataset(split="train", decoders=skip)
    records = list(raw.as_numpy_iterator())
    assert [r["id"] for r in records] == [b"train/%06d" % i for i in range(len(records))]
    expected = encoded_scene("train", 69)
    assert records[69]["image"] == expected["image"]
    assert records[69]["label"] == expected["label"]

    decoded = next(iter(builder.as_dataset(split="validation").as_numpy_iterator()))
    scene = draw_scene("validation", 0)
    np.testing.assert_array_equal(decoded["label"][..., 0], scene.label)
    error = np.abs(decoded["image"].astype(int) - scene.image)
    assert error.mean() < 6  # JPEG


def test_encoded_files_are_what_they_are_called() -> None:
    record = encoded_scene("validation", 5)
    with Image.open(io.BytesIO(record["image"])) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (160, 160))
    with Image.open(io.BytesIO(record["label"])) as label:
        assert (label.format, label.mode, label.size) == ("PNG", "L", (160, 160))
    assert record["id"] == "validation/000005"


def test_builder_announces_the_agreed_sizes() -> None:
    assert Shapes.name == "shapes"
    assert Shapes.split_sizes == SPLIT_SIZES == {"train": 3000, "validation": 300}
