"""`evaluate_model` with a network whose answer is known, and `evaluate` on a small run."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from model_dirs import TINY, make_model_dir
from PIL import Image
from source_folders import load, make_folder, save

import deeplab
from deeplab.data import DataConfig
from deeplab.data.colors import IGNORE_COLOR
from deeplab.errors import DeepLabError
from deeplab.evaluation import evaluate_model, label_function, run_evaluation
from deeplab.evaluation.examples import ExampleCollector, Scored
from deeplab.evaluation.labeled_images import from_folders
from deeplab.evaluation.report import render_report
from deeplab.model_dir import read_description, write_description

NAMES = ["red", "green", "blue"]
CLASSES = ("background", "cat", "dog")
MASK_COLORS = ((9, 9, 9), (128, 0, 0), (0, 128, 0))


def color_labels(images: tf.Tensor) -> tf.Tensor:
    return tf.argmax(images, axis=-1, output_type=tf.int32)


def batch(*ids: str, size: tuple[int, int] = (4, 6), seed: int = 0) -> dict[str, tf.Tensor]:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (len(ids), *size, 3))
    labels = images.argmax(axis=-1)
    labels[:, 0] = 255
    labels[:, 1] = 0
    return {
        "image": tf.constant(images, tf.float32),
        "label": tf.constant(labels, tf.int32),
        "id": tf.constant(list(ids)),
    }


def measure(batches: list[dict[str, tf.Tensor]], **settings: Any) -> dict[str, Any]:
    return evaluate_model(color_labels, batches, class_names=NAMES, ignore_label=255, **settings)


def test_right_pixels_count_as_right_and_ignored_ones_not_at_all():
    first = batch("a", "b")
    metrics = measure([first, batch("c", size=(5, 3), seed=1)])
    assert metrics["num_images"] == 3
    matrix = np.array(metrics["confusion_matrix"])
    assert matrix.sum() == 2 * 3 * 6 + 4 * 3
    assert matrix[1:].sum() == np.trace(matrix[1:, 1:])  # only row 1, labeled red, is wrong
    assert matrix[0, 1:].sum() > 0


def test_batches_of_any_size_give_the_same_counts():
    together = batch("a", "b", "c")
    apart = [{k: v[i : i + 1] for k, v in together.items()} for i in range(3)]
    assert measure([together]) == measure(apart)


def test_an_image_that_comes_twice_is_refused():
    with pytest.raises(DeepLabError, match="image a came twice"):
        measure([batch("a", "a")])


@pytest.mark.parametrize("expected", [1, 3])
def test_the_number_of_images_is_checked(expected: int):
    with pytest.raises(DeepLabError, match=f"2 images were evaluated, expected {expected}"):
        measure([batch("a", "b")], num_images=expected)


def test_no_image_is_an_error():
    with pytest.raises(DeepLabError, match="0 images"):
        measure([])


def test_an_unknown_id_names_the_image():
    wrong = batch("a", "b")
    wrong["label"] = tf.concat([wrong["label"][:1], wrong["label"][1:] + 5], axis=0)
    with pytest.raises(DeepLabError, match="image b: label ids 5"):
        measure([wrong])


def test_it_is_silent_unless_told_otherwise(capsys: pytest.CaptureFixture[str]):
    measure([batch("a")])
    assert capsys.readouterr() == ("", "")
    measure([batch("a")], progress=True, num_images=1)
    assert capsys.readouterr().out.startswith("evaluating 1/1 images")


def test_the_labels_of_a_model_made_under_a_strategy():
    with tf.distribute.OneDeviceStrategy("/cpu:1").scope():
        model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)])
        model.set_weights([np.eye(3)[None, None], np.zeros(3)])
    data = batch("a", "b")
    metrics = evaluate_model(label_function(model), [data], class_names=NAMES, ignore_label=255)
    assert metrics == measure([data])


def scored(name: str, miou: float) -> Scored:
    ids = np.zeros((4, 5), np.int32)
    counts = np.zeros((2, 2), np.int64)
    if not np.isnan(miou):
        counts[0] = round(40 * miou), round(40 * (1 - miou))  # and the other class has none right
    return Scored(name, np.zeros((4, 5, 3), np.uint8), ids, ids, counts)


def kept(images: list[Scored], **settings: int) -> list[list[str]]:
    collector = ExampleCollector(**settings)
    for image in images:
        collector.add(image)
    groups = [*collector.ranked, collector.random]
    return [[item.image_id for item in group] for group in groups]


def test_examples_are_the_worst_the_middle_and_the_best():
    images = [scored(f"image{i:02d}", i / 40) for i in range(39)]
    shuffled = [images[i] for i in np.random.default_rng(0).permutation(39)]
    unlabeled = scored("unlabeled", float("nan"))
    worst, median, best, random = kept([unlabeled, *shuffled], ranked=3, random=4)
    assert worst == ["image00", "image01", "image02"]
    assert median == ["image18", "image19", "image20"]
    assert best == ["image38", "image37", "image36"]
    assert len(random) == 4
    assert kept(images[::-1], random=4)[3] == random  # in whatever order they come


@pytest.mark.parametrize("count", [0, 1, 2, 4, 7])
def test_a_few_images_are_shown_once_each(count: int):
    images = [scored(f"image{i}", i / 40) for i in range(count)]
    worst, median, best, _ = kept(images, ranked=3)
    assert sorted([*worst, *median, *best]) == [image.image_id for image in images]
    assert not count or worst[0] == "image0"


def test_thumbnails_invent_no_class():
    ids = np.random.default_rng(0).choice([0, 2, 255], (301, 500)).astype(np.int32)
    image = np.zeros((301, 500, 3), np.uint8)
    collector = ExampleCollector(longest_side=100)
    collector.add(Scored("x", image, ids, ids, np.eye(3, dtype=np.int64)))
    ((small,), _, _) = collector.ranked
    assert small.image.shape == (60, 100, 3)
    assert small.labels.shape == small.predictions.shape == (60, 100)
    assert set(np.unique(small.labels)) <= {0, 2, 255}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder without training, as an import leaves it."""
    folder = tmp_path_factory.mktemp("evaluate") / "imported"
    make_model_dir(folder, **TINY)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that remembers a small `folder` data set: id 0 is ignored, one mask in RGB."""
    base = tmp_path_factory.mktemp("evaluate")
    sizes = {f"{split}/{i}": (20 + i, 24) for split in ("train", "val") for i in range(3)}
    source = make_folder(base / "source", sizes)
    (source / "classes.json").write_text(
        json.dumps({"classes": CLASSES, "colors": MASK_COLORS, "ignore": 0})
    )
    colors = np.zeros((256, 3), np.uint8)
    colors[[0, 1, 2, 255]] = [*MASK_COLORS, IGNORE_COLOR]
    save(source / "labels/val/1.png", colors[np.asarray(Image.open(source / "labels/val/1.png"))])
    training = {
        "data": {"dataset": "folder", "crop_size": 33, "eval_batch_size": 2},
        "data_dir": str(base / "prepared"),
        "source_dir": str(source),
    }
    make_model_dir(base / "run", training=training)
    data = load(source, base / "prepared")
    description = dataclasses.replace(
        read_description(base / "run"), mask_ignore=data.mask_ignore, mask_colors=data.mask_colors
    )
    write_description(base / "run", description)
    return base / "run"


@pytest.fixture
def results(imported: Path, trained: Path) -> Iterator[None]:
    """Removes results of other tests."""
    yield
    for folder in (imported, trained):
        shutil.rmtree(folder / "eval", ignore_errors=True)
        if (folder / "eval").is_file():
            (folder / "eval").unlink()


@pytest.mark.usefixtures("results")
def test_evaluate_writes_the_contract(trained: Path, capsys: pytest.CaptureFixture[str]):
    metrics = deeplab.evaluate(model_dir=trained)
    folder = trained / "eval" / "folder-val"
    assert sorted(path.name for path in folder.iterdir()) == [
        "metrics.json",
        "per_image.npz",
        "report.html",
    ]
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert list(metrics) == [
        "miou",
        "miou_present",
        "miou_all",
        "pixel_accuracy",
        "mean_accuracy",
        "frequency_weighted_iou",
        "per_class_iou",
        "precision",
        "recall",
        "f1",
        "confusion_matrix",
        "boundary_iou",
        "num_images",
        "boundary_f",
        "trimap_iou",
        "intervals",
        "by_size",
        "checkpoint_step",
        "output_stride",
        "eval_scales",
        "flip",
        "window",
        "overlap",
        "pad_to",
        "dataset",
        "split",
    ]
    facts = {key: metrics[key] for key in list(metrics)[17:]}
    assert facts == {
        "checkpoint_step": 7,
        "output_stride": 16,
        "eval_scales": [1.0],
        "flip": False,
        "window": None,
        "overlap": None,
        "pad_to": None,
        "dataset": "folder",
        "split": "val",
    }
    with np.load(folder / "per_image.npz") as counts:
        assert counts["ids"].tolist() == ["val/0", "val/1", "val/2"]
        assert counts["sizes"].tolist() == [[20, 24], [21, 24], [22, 24]]
        assert counts["confusion"].sum(axis=0).tolist() == metrics["confusion_matrix"]
    output = capsys.readouterr()
    assert "cat" in output.out and "mIoU" in output.out
    assert output.err == ""


@pytest.mark.slow
@pytest.mark.usefixtures("results")
def test_results_are_named_by_the_settings_and_replaced(trained: Path):
    old = trained / "eval" / "folder-train-os8-ms-flip-window32x24"
    old.mkdir(parents=True)
    (old / "left over").touch()
    settings: dict[str, Any] = {"model_dir": trained, "split": "training", "progress": False}
    metrics = deeplab.evaluate(
        **settings, output_stride=8, eval_scales=(0.5,), flip=True, window=(32, 24)
    )
    assert (metrics["window"], metrics["overlap"]) == ([32, 24], [8, 6])
    deeplab.evaluate(**settings, output_stride=16, name="mine")
    names = sorted(path.name for path in (trained / "eval").iterdir())
    assert names == [old.name, "mine"]
    assert sorted(path.name for path in old.iterdir()) == [
        "metrics.json",
        "per_image.npz",
        "report.html",
    ]


def val_masks(source: Path) -> list[npt.NDArray[np.int64]]:
    """The ids of the masks in "val", by NumPy."""
    masks = []
    for index in range(3):
        mask = np.asarray(Image.open(source / f"labels/val/{index}.png"), np.int64)
        if mask.ndim == 3:
            matches = (mask[:, :, None] == np.array(MASK_COLORS)).all(axis=-1)
            mask = np.where(matches.any(axis=-1), matches.argmax(axis=-1), 255)
        masks.append(mask)
    return masks


@pytest.mark.slow
@pytest.mark.usefixtures("results")
def test_folders_give_what_the_data_set_gives(trained: Path, capsys: pytest.CaptureFixture[str]):
    source = Path(read_description(trained).training["source_dir"])
    data = deeplab.evaluate(model_dir=trained, progress=False)
    folders = deeplab.evaluate(
        model_dir=trained, images=source / "images" / "val", labels=source / "labels" / "val"
    )
    assert "ignored in the masks: 0 (background), 255\n" in capsys.readouterr().out
    assert (folders["dataset"], folders["split"]) == (None, None)
    assert (trained / "eval" / "images" / "metrics.json").is_file()
    same = [key for key in data if key not in ("dataset", "split")]
    assert {key: data[key] for key in same} == {key: folders[key] for key in same}
    model, matrix = deeplab.load_model(trained), np.zeros((3, 3), np.int64)
    for index, mask in enumerate(val_masks(source)):
        image = np.asarray(Image.open(source / f"images/val/{index}.png"), np.float32)
        predicted = np.argmax(model(image[None])[0], axis=-1)
        kept = ~np.isin(mask, (0, 255))
        np.add.at(matrix, (mask[kept], predicted[kept]), 1)
    assert folders["confusion_matrix"] == matrix.tolist()
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - matrix.diagonal()
    assert union.all() and folders["miou"] == pytest.approx((matrix.diagonal() / union).mean())


@pytest.mark.slow
def test_an_exported_file_gives_what_its_model_gives(trained: Path, tmp_path: Path):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    deeplab.export(model_dir=trained, export_dir=tmp_path / "export", format="onnx")
    training = read_description(trained).training
    folders = {name: training[name] for name in ("data_dir", "source_dir")}
    expected = deeplab.evaluate(model_dir=trained, output_dir=tmp_path / "model", progress=False)
    found = deeplab.evaluate(
        onnx=tmp_path / "export" / "model.onnx",
        data=deeplab.DataConfig(**training["data"]),
        output_dir=tmp_path / "file",
        compare=tmp_path / "model",
        progress=False,
        **folders,
    )
    for name in ("dataset", "split", "num_images", "checkpoint_step", "output_stride"):
        assert found[name] == expected[name]
    counts = [np.array(metrics["confusion_matrix"]) for metrics in (found, expected)]
    assert np.abs(counts[0] - counts[1]).sum() <= 4  # near ties
    assert found["comparison"]["miou"]["other"] == expected["miou"]


def test_another_class_list_says_what_is_ignored(trained: Path, tmp_path: Path):
    description = read_description(trained)
    source = Path(description.training["source_dir"])
    folders = (source / "images" / "val", source / "labels" / "val")
    labelmap = tmp_path / "labelmap.txt"
    rows = zip(CLASSES, MASK_COLORS, strict=True)
    labelmap.write_text("".join(f"{name}:{','.join(map(str, rgb))}::\n" for name, rgb in rows))
    for classes, ignored in ((None, (0, 255)), (labelmap, (255,))):
        images = from_folders(description, *folders, classes)
        assert (images.mask_ignored, images.ignore_label) == (ignored, 255)
        for batch, mask in zip(images.batches, val_masks(source), strict=True):
            expected = np.where(np.isin(mask, ignored), 255, mask)
            np.testing.assert_array_equal(batch["label"][0], expected)


def test_class_lists_that_do_not_fit(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = Path(read_description(trained).training["source_dir"])
    folders = {"images": source / "images" / "val", "labels": source / "labels" / "val"}
    classes = tmp_path / "classes.txt"
    classes.write_text("background\ncat\nfox\n")  # and without colors
    with pytest.raises(DeepLabError, match=r"val/1\.png is an image in colors"):
        deeplab.evaluate(model_dir=trained, **folders, classes=classes)
    error = capsys.readouterr().err
    assert f"1 classes have other names in {classes}" in error and "'fox' there" in error
    classes.write_text("background\ncat\n")
    with pytest.raises(DeepLabError, match=r"3 classes and .*classes\.txt has 2"):
        deeplab.evaluate(model_dir=trained, **folders, classes=classes)
    with pytest.raises(DeepLabError, match=r"classes\.txt .* give images and labels too"):
        deeplab.evaluate(model_dir=trained, classes=classes)


@pytest.mark.slow
@pytest.mark.usefixtures("results")
def test_padding_changes_what_the_network_sees_but_not_what_is_counted(trained: Path):
    plain = deeplab.evaluate(model_dir=trained, progress=False)
    padded = deeplab.evaluate(model_dir=trained, pad_to=(65, 97), progress=False)
    counts = [np.array(metrics["confusion_matrix"]) for metrics in (plain, padded)]
    assert np.array_equal(counts[0].sum(axis=1), counts[1].sum(axis=1))
    assert not np.array_equal(*counts)
    with pytest.raises(
        DeepLabError, match="image val/0: an image of 20x24 .* larger than pad_to 8x8"
    ):
        deeplab.evaluate(model_dir=trained, pad_to=(8, 8), progress=False)


@pytest.mark.usefixtures("results")
def test_another_folder_for_the_results_keeps_what_is_in_it(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "thesis.txt").touch()
    (trained / "eval").touch()  # a folder that cannot be made
    metrics = deeplab.evaluate(model_dir=trained, output_dir=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.json",
        "per_image.npz",
        "report.html",
        "thesis.txt",
    }
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert f"wrote {tmp_path / 'metrics.json'}" in capsys.readouterr().out


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("name", [None, "x" * 300])
def test_results_that_cannot_be_written_are_refused_before_the_work(
    trained: Path, name: str | None
):
    if name is None:
        (trained / "eval").touch()
    # The data are looked at later: there are none.
    with pytest.raises(DeepLabError, match=f"{trained}/eval.*--output_dir"):
        deeplab.evaluate(model_dir=trained, images="nowhere", labels="nowhere", name=name)


@pytest.mark.slow
@pytest.mark.usefixtures("results")
def test_the_table_is_there_if_the_results_cannot_be_written_in_the_end(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def render_and_fail(*arguments: object, **settings: Any) -> str:
        (trained / "eval").touch()  # a folder that cannot be made any more
        return render_report(*arguments, **settings)

    monkeypatch.setattr(run_evaluation, "render_report", render_and_fail)
    with pytest.raises(DeepLabError, match=f"{trained}/eval"):
        deeplab.evaluate(model_dir=trained)
    assert "mIoU" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("results")
def test_everything_that_can_be_asked_beside_another_model(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(trained, tmp_path / "other", ignore=shutil.ignore_patterns("eval"))
    asked: dict[str, Any] = {
        "calibration": True,
        "group_by": r"/(\d)",
        "merge_classes": {"animal": ["cat", "dog"]},
    }
    metrics = deeplab.evaluate(model_dir=trained, compare=tmp_path / "other", **asked)
    assert f"evaluating {tmp_path / 'other'} to compare with" in capsys.readouterr().out
    assert metrics["comparison"]["checkpoint_step"] == 7
    pixels = sum(row["pixels"] for row in metrics["calibration"]["curve"])
    assert pixels == np.sum(metrics["confusion_matrix"])
    right = sum(row["pixels"] * (row["accuracy"] or 0) for row in metrics["calibration"]["curve"])
    assert right == pytest.approx(np.trace(metrics["confusion_matrix"]))
    assert list(metrics["by_group"]) == ["0", "1", "2"]
    assert list(metrics["merged"]["per_class_iou"]) == ["background", "animal"]
    stored = tmp_path / "other" / "eval" / "folder-val" / "metrics.json"
    before = stored.stat().st_mtime_ns
    found = deeplab.evaluate(model_dir=trained, compare=tmp_path / "other")
    assert stored.stat().st_mtime_ns == before
    assert found["comparison"]["other"] == str(stored)
    assert found["comparison"]["miou"]["difference"] == 0


@pytest.mark.slow
@pytest.mark.usefixtures("results")
def test_a_watch_files_and_keeps_what_it_measures(
    trained: Path, capsys: pytest.CaptureFixture[str]
):
    description = read_description(trained)
    training = {**description.training, "train_steps": 7, "eval_steps": 0}
    write_description(trained, dataclasses.replace(description, training=training))
    try:
        metrics = deeplab.evaluate(model_dir=trained, watch=True)
        stored = trained / "eval" / "folder-val" / "metrics.json"
        assert json.loads(stored.read_text()) == metrics
        line = f"step 7: mIoU {metrics['miou']:.4f}"
        assert capsys.readouterr().out.startswith(line)
        best = deeplab.evaluate(model_dir=trained, checkpoint="best", progress=False)
        assert best["confusion_matrix"] == metrics["confusion_matrix"]
    finally:
        write_description(trained, description)
        shutil.rmtree(trained / "checkpoints" / "best", ignore_errors=True)


def test_nothing_to_compare_with(trained: Path, tmp_path: Path):
    make_model_dir(tmp_path / "pets", class_names=("background", "cat", "fox"), **TINY)
    for path, message in (
        (tmp_path, "neither a model folder nor has a metrics.json"),
        (tmp_path / "x.json", "no metrics.json that can be read"),
        (tmp_path / "pets", "pets is of other classes than this evaluation: the first is 'dog'"),
    ):
        with pytest.raises(DeepLabError, match=message):
            deeplab.evaluate(model_dir=trained, compare=path)
    assert not (trained / "eval").exists()


def test_a_model_without_data_set_says_what_is_missing(imported: Path):
    with pytest.raises(DeepLabError, match="knows no data set: give --images and --labels"):
        deeplab.evaluate(model_dir=imported)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"checkpoint": "best"}, "no best checkpoint"),
        ({"images": "somewhere"}, "one is missing"),
        ({"name": "../elsewhere"}, "name '../elsewhere' must be the name of a folder"),
        ({"name": ""}, "name '' must be"),
        ({"name": "mine", "output_dir": "x"}, "name 'mine'.*output_dir"),
        ({"split": "holidays"}, "unknown split .*holidays"),
        ({"eval_scales": (0.0,)}, "eval_scales must be"),
        ({"group_by": "("}, "no regular expression"),
        ({"merge_classes": {"pet": ["cat", "rat"]}}, "unknown class 'rat'"),
    ],
)
def test_bad_settings_leave_nothing_behind(trained: Path, settings: dict[str, Any], message: str):
    with pytest.raises(DeepLabError, match=message):
        deeplab.evaluate(model_dir=trained, **settings)
    assert not (trained / "eval").exists()


def test_another_number_of_classes_is_refused(imported: Path, tmp_path: Path):
    source = make_folder(
        tmp_path / "source", {"a": (9, 9), "b": (9, 9)}, classes=["x", "y"], ids=(0, 1)
    )
    with pytest.raises(DeepLabError, match="3 classes and the data set folder has 2"):
        deeplab.evaluate(
            model_dir=imported,
            data=DataConfig(dataset="folder"),
            source_dir=source,
            data_dir=tmp_path / "prepared",
        )


@pytest.mark.slow
@pytest.mark.usefixtures("results")
def test_other_class_names_are_a_warning(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = make_folder(tmp_path / "source", {"a": (9, 9), "b": (9, 9)}, classes=["x", "y", "z"])
    deeplab.evaluate(
        model_dir=imported,
        data=DataConfig(dataset="folder"),
        source_dir=source,
        data_dir=tmp_path / "prepared",
        progress=False,
    )
    assert "3 classes have other names" in capsys.readouterr().err
