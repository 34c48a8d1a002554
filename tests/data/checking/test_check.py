"""`dataset check` and `dataset stats`: every planted fault is found, and none is invented."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from archives import expect_dummies
from broken_folders import COLORS, FAULTS, HARMLESS, Expected, check, found, make_sound
from image_bytes import orientation
from PIL import Image
from source_folders import load, make_folder, numbered, random_mask, refused, save

from deeplab.data import DATASETS, DataConfig, load_dataset
from deeplab.data.checking import check_named, class_weights, render_check, weights_binding
from deeplab.data.checking.result import SplitTally
from deeplab.data.checking.samples import Duplicates, Sample
from deeplab.data.files.problems import KINDS
from deeplab.data.sources.pairs import Pair


def test_a_sound_folder_has_no_problems(tmp_path: Path) -> None:
    result = check(make_sound(tmp_path / "source"), tmp_path / "data")
    assert result.ok and result.problems == () and result.notes == ()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alone_is_found(name: str, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    plant, expected = FAULTS[name]
    plant(source)
    result = check(source, tmp_path / "data")
    assert found(result, source) == sorted(expected)
    assert result.ok == (not any(is_error for _, _, is_error in expected))


def test_all_faults_together_are_found_and_none_invented(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    expected: list[Expected] = []
    for plant, problems in FAULTS.values():
        plant(source)
        expected += problems
    for plant in HARMLESS.values():
        plant(source)
    result = check(source, tmp_path / "data")
    assert found(result, source) == sorted(expected)
    assert {kind for kind, _, _ in expected} == set(KINDS) - {"binary_mask"}


@pytest.mark.parametrize(
    ("sizes", "missing"),
    [
        ({"train/a": (6, 7)}, "unknown split 'val'"),
        ({"val/a": (6, 7), "test/b": (6, 7)}, "unknown split 'train'"),
    ],
)
def test_a_split_that_training_needs(
    tmp_path: Path, sizes: dict[str, tuple[int, int]], missing: str
) -> None:
    source = make_folder(tmp_path / "source", sizes)
    (problem,) = check(source, tmp_path / "data").problems
    assert (problem.kind, problem.file, problem.is_warning) == ("missing_image", source, False)
    assert missing in problem.detail and "choices: " in problem.detail
    config = DataConfig(dataset="folder", train_split="test", eval_split="val")
    result = check_named(config, source_dir=str(source), silent=True)
    assert result.ok == ("test/b" in sizes)


@pytest.mark.parametrize("ids", [(0, 255), (255,)])
def test_a_training_split_that_teaches_nothing(tmp_path: Path, ids: tuple[int, ...]) -> None:
    source = make_folder(tmp_path / "source", {"train/a": (9, 9), "train/b": (9, 9)}, ids=ids)
    make_folder(source, {"val/c": (8, 9)})
    result = check(source, tmp_path / "data")
    (problem,) = [problem for problem in result.problems if not problem.is_warning]
    assert (problem.kind, problem.file) == ("binary_mask", source)
    expected = "all masks of the split 'train' together hold nothing but the ids"
    assert problem.detail.startswith(expected)
    refused(source, tmp_path, "all masks of the split 'train' in .*nothing but")


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_odd_but_right_is_no_problem(name: str, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    HARMLESS[name](source)
    assert check(source, tmp_path / "data").problems == ()


@pytest.mark.parametrize("name", [name for name, (_, rows) in FAULTS.items() if rows[0][2]])
def test_preparing_stops_at_every_error_but_at_shared_images(name: str, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    FAULTS[name][0](source)
    if name == "image in two splits":  # measured numbers would be too good, but it trains
        load(source, tmp_path / "data")
    else:
        refused(source, tmp_path, re.escape(Path(FAULTS[name][1][0][1]).name))


def test_details_say_what_to_do(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    for plant, _ in FAULTS.values():
        plant(source)
    details = {
        (item.kind, item.file.name): item.detail for item in check(source, tmp_path).problems
    }
    for kind, name, pattern in (
        ("unreadable", "p02.png", r"the file is empty"),
        ("unreadable", "p04.png", r"40000x40000 pixels .*268435456"),
        ("unreadable", "p06.png", r"convert it to 8 bits"),
        ("unreadable", "p22.png", r"is a symbolic link to /nowhere/p22\.png: No such file"),
        ("unreadable", "p24.png", r"is not a regular file"),
        ("size_mismatch", "p14.png", r"is 32x24 \(width x height\), its image p14.png is 24x32"),
        ("id_out_of_range", "p08.png", r"holds the ids 7, but the classes are 0\.\.2"),
        ("colour_mask", "p09.png", r"are no class's in the class list"),
        ("colour_mask", "p17.png", r"preparing converts it"),
        ("duplicate_across_splits", "q10.png", r"same image as .*train/p10\.png of train"),
        ("missing_mask", "p11.png", r"expected .*labels/train/p11\.png"),
        ("palette_mask", "p16.png", r"its indices are the class ids"),
        ("single_class", "p18.png", r"nothing but 'dog' \(id 2\)$"),
        ("single_class", "p19.png", r"nothing but ignored pixels"),
        ("single_class", "p21.png", r"nothing but 'background' \(id 0\) and ignored pixels"),
    ):
        assert re.search(pattern, details[kind, name])


def test_a_color_mask_without_class_colors_names_the_way_out(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", {"train/a": (4, 4), "val/b": (4, 4)})
    save(source / "labels/val/b.png", np.array(COLORS, np.uint8)[random_mask(4, 4, (0, 1))])
    (problem,) = check(source, tmp_path).problems
    assert (problem.kind, problem.is_warning) == ("colour_mask", False)
    assert 'add "colors": [[r, g, b], ...]' in problem.detail
    assert "2 colors: (0, 0, 0), (128, 0, 0)" in problem.detail
    save(source / "labels/val/b.png", np.repeat(random_mask(4, 4, (0, 1))[..., None], 3, axis=2))
    (problem,) = check(source, tmp_path).problems
    assert "three channels are equal" in problem.detail


def test_binary_masks_are_one_problem(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(6), ids=(0, 255))
    (problem,) = check(source, tmp_path).problems
    assert (problem.kind, problem.file, problem.is_warning) == ("binary_mask", source, False)
    assert "save it as 1" in problem.detail


def test_most_masks_of_0_and_255_are_a_warning(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(20), ids=(0, 255))
    for number in (7, 8):
        save(source / f"labels/picture{number:02d}.png", random_mask(12, 16, (0, 1)))
    result = check(source, tmp_path)
    (problem,) = [item for item in result.problems if item.kind == "binary_mask"]
    assert (problem.file, problem.is_warning, result.ok) == (source, True, True)
    assert "18 of 20 masks hold nothing but 0 and 255" in problem.detail
    assert "save it as 1" in problem.detail


def test_one_class_in_all_masks_is_one_warning(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(6), ids=(1, 255))
    result = check(source, tmp_path)
    (problem,) = result.problems
    assert (problem.kind, problem.file, result.ok) == ("single_class", source, True)
    assert problem.detail == "all 6 masks hold nothing but 'cat' (id 1)"


def test_no_image_has_a_mask(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(3))
    shutil.rmtree(source / "labels")
    (source / "labels").mkdir()
    result = check(source, tmp_path)
    assert [item.kind for item in result.problems] == ["missing_mask"] * 3
    assert result.splits == {} and not result.ok


def _list(source: Path, rows: Iterable[tuple[str, str, str]]) -> Path:
    lines = [",".join(row) for row in rows]
    path = source / "list.csv"
    path.write_text("\n".join(["image,label,split", *lines]))
    return path


def test_lists(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(3))
    image, label = "images/picture0{}.png".format, "labels/picture0{}.png".format
    path = _list(
        source,
        [
            (image(0), label(0), "train"),
            (image(1), label(1), "val"),
            (image(0), label(0), "val"),
            (image(2), "labels/no.png", "train"),
            ("images/no.png", label(2), "train"),
        ],
    )
    assert found(check(path, tmp_path / "data"), source) == [
        ("duplicate_across_splits", image(0), True),
        ("missing_image", "images/no.png", True),
        ("missing_mask", image(2), True),
    ]


def test_split_lists(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(4))
    (source / "splits").mkdir()
    for name, text in {
        "train": "picture00\npicture01\npicture09\n",
        "val": "picture02\npicture03\n",
        # A union of splits is meant to share their images.
        "trainval": "picture00\npicture01\npicture02\npicture03\n",
    }.items():
        (source / "splits" / f"{name}.txt").write_text(text)
    (source / "labels/picture03.png").unlink()
    result = check(source, tmp_path / "data")
    assert found(result, source) == [
        ("missing_image", "splits/train.txt", True),
        ("missing_mask", "images/picture03.png", True),
    ]
    table = " ".join(render_check(result).split())
    assert "missing_image, 1 x " in table
    assert "splits/train.txt: names 'picture09'" in table
    assert {name: tally.num_images for name, tally in result.splits.items()} == {
        "train": 2,
        "val": 1,
        "trainval": 3,
    }


@pytest.mark.parametrize(
    ("first", "second", "is_problem"),
    [
        (("train", "a"), ("val", "a"), True),
        (("train", "a"), ("val", "b"), True),
        (("train", "a"), ("train", "b"), False),
        (("train", "a"), ("trainval", "a"), False),
        (("train", "a"), ("trainval", "b"), True),
        (("extra", "a"), ("val", "a"), True),  # named by the settings
    ],
)
def test_which_splits_may_share_images(
    first: tuple[str, str], second: tuple[str, str], is_problem: bool
) -> None:
    duplicates = Duplicates(["extra", "val"])
    samples = [
        Sample(split, Pair(name, Path(name), Path(name)), bytes, bytes)
        for split, name in (first, second)
    ]
    assert duplicates.add(b"same", samples[0]) is None
    assert (duplicates.add(b"same", samples[1]) is not None) == is_problem
    assert duplicates.add(b"other", samples[1]) is None


def _turn(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=orientation(3))  # upside down: the size stays


def test_images_and_masks_that_exif_turns_are_noted(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    for name in ("images/val/q00", "images/val/q01", "labels/val/q01"):
        _turn(source / f"{name}.png")
    result = check(source, tmp_path)
    (note,) = result.notes
    assert result.ok and re.findall(r"\d+", note) == ["2", "1"]  # images, and their masks too
    _turn(source / "labels/val/q02.png")
    same, of_masks = check(source, tmp_path).notes
    assert same == note and re.findall(r"\d+", of_masks) == ["1"]


# Numbers


def test_class_pixels_are_counted(tmp_path: Path) -> None:
    source = make_folder(
        tmp_path / "source", {"train/a": (2, 4), "train/b": (2, 4), "val/c": (1, 2)}
    )
    save(source / "labels/train/a.png", np.array([[0, 0, 0, 1], [0, 0, 255, 255]], np.uint8))
    save(source / "labels/train/b.png", np.array([[0, 0, 0, 0], [2, 2, 2, 255]], np.uint8))
    save(source / "labels/val/c.png", np.array([[0, 1]], np.uint8))
    result = check(source, tmp_path)
    assert result.total.class_pixels.tolist() == [10, 2, 3]
    assert result.total.class_images.tolist() == [3, 2, 1]
    assert result.total.num_pixels == 18
    train = result.splits["train"]
    assert train.class_pixels.tolist() == [9, 1, 3]
    assert train.pixels_where_present.tolist() == [13, 6, 7]
    # Frequencies 9/13, 1/6, 3/7, of which 3/7 is the median.
    expected = [3 / 7 / (9 / 13), 3 / 7 * 6, 1]
    np.testing.assert_allclose(class_weights(train), expected, rtol=1e-12)
    assert weights_binding(class_weights(train)) == "LossConfig.class_weights = (0.619, 2.571, 1)"


def test_a_class_that_never_occurs_weighs_1_and_changes_nothing() -> None:
    def tally(*counts: int) -> SplitTally:
        pixels = np.array(counts)
        return SplitTally(pixels, np.sign(pixels), np.sign(pixels) * pixels.sum())

    one, two, three = class_weights(tally(60, 10, 30))
    assert class_weights(tally(60, 0, 10, 30)) == (one, 1.0, two, three)
    assert class_weights(tally(0, 0)) == (1.0, 1.0)


# Prepared records


def test_records_are_checked_where_there_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, "camvid", train=2, val=1)
    source = make_folder(
        tmp_path / "source",
        {"train/a": (8, 9), "train/b": (8, 9), "val/c": (8, 9)},
        classes=DATASETS["camvid"].class_names,
        ids=(0, 3, 10, 255),
    )
    shutil.copy(source / "images/train/a.png", source / "images/val/c.png")
    data_dir = tmp_path / "data"
    load_dataset("camvid", data_dir=str(data_dir), source_dir=str(source))
    config = DataConfig(dataset="camvid")
    with_files = check_named(config, source_dir=str(source), data_dir=str(data_dir), silent=True)
    shutil.rmtree(source)
    result = check_named(config, data_dir=str(data_dir), silent=True)
    assert [(item.kind, str(item.file)) for item in result.problems] == [
        ("duplicate_across_splits", "camvid/val/c")
    ]
    assert result.total.class_pixels.tolist() == with_files.total.class_pixels.tolist()
    _damage(data_dir)
    result = check_named(config, data_dir=str(data_dir), silent=True)
    assert [(item.kind, str(item.file)) for item in result.problems] == [
        ("unreadable", "camvid/train/record 1"),
        ("duplicate_across_splits", "camvid/val/c"),
    ]


def _damage(data_dir: Path) -> None:
    """Changes a byte of the last record of the training split."""
    (path,) = data_dir.rglob("*train*tfrecord*")
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
