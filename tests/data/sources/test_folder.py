"""The data set `folder`: layouts, splits, preparation, and everything that can be wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from image_bytes import orientation
from PIL import Image
from source_folders import (
    ids_of,
    labels_of,
    load,
    make_folder,
    numbered,
    random_image,
    random_mask,
    refused,
    save,
)

from deeplab.data import load_dataset
from deeplab.data.builders.folder import encoded_pair
from deeplab.data.files.decode import decode_image, decode_label
from deeplab.data.files.mask_ids import IdRule
from deeplab.data.sources.folder import scan_folder
from deeplab.data.sources.lists import scan_list
from deeplab.data.sources.pair_tally import PairTally
from deeplab.data.sources.pairs import Pair, match_files, split_by_hash
from deeplab.errors import DeepLabError

pytestmark = pytest.mark.usefixtures("no_network")


def test_split_folders(tmp_path: Path) -> None:
    source = make_folder(
        tmp_path / "source",
        {"val/b": (8, 9), "val/sub/a": (6, 5), "train/c": (7, 7), "train/d": (7, 7)},
    )
    dataset = load(source, tmp_path / "data")
    assert dataset.splits == {"train": 2, "val": 2}
    assert list(dataset.splits) == ["train", "val"]
    assert (dataset.train_split, dataset.eval_split) == ("train", "val")
    assert ids_of(dataset, "val") == ids_of(dataset, "validation") == ["val/b", "val/sub/a"]
    assert dataset.class_names == ("background", "cat", "dog")
    assert dataset.colors == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert (dataset.num_classes, dataset.ignore_label) == (3, 255)
    assert (dataset.source_dir, dataset.data_dir) == (str(source), str(tmp_path / "data"))
    with pytest.raises(DeepLabError, match=r"unknown split .*'vla'.*choices: train, val"):
        dataset.records("vla")


def test_names_of_splits_that_mean_the_same(tmp_path: Path) -> None:
    sizes = {"training/a": (8, 9), "validation/b": (8, 9), "extra/c": (8, 9)}
    dataset = load(make_folder(tmp_path / "source", sizes), tmp_path / "data")
    assert list(dataset.splits) == ["training", "validation", "extra"]
    assert (dataset.train_split, dataset.eval_split) == ("training", "validation")


@pytest.mark.parametrize("kind", ["folders", "split lists", "list"])
def test_names_of_splits_in_any_case(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"Train/a": (8, 9), "Train/d": (8, 9), "VAL/b": (8, 9), "Extra/c": (8, 9)}
    source = path = make_folder(tmp_path / "source", sizes)
    if kind == "split lists":
        (source / "splits").mkdir()
    lines = ["image,label,split"]
    for name in sizes:
        split = name.split("/")[0]
        lines.append(f"images/{name}.png,labels/{name}.png,{split}")
        if kind == "split lists":
            with (source / "splits" / f"{split}.txt").open("a") as file:
                file.write(f"{name}\n")
    if kind == "list":
        path = source / "list.csv"
        path.write_text("\n".join(lines))
    dataset = load(path, tmp_path / "data")
    assert dataset.splits == {"train": 2, "val": 1, "extra": 1}
    assert list(dataset.splits) == ["train", "val", "extra"]
    assert (dataset.train_split, dataset.eval_split) == ("train", "val")
    assert ids_of(dataset, "Validation") == ids_of(dataset, "val")
    assert ids_of(dataset, "Extra") == ids_of(dataset, "extra")
    assert "hash" not in capsys.readouterr().out


def test_two_spellings_of_a_split(tmp_path: Path) -> None:
    sizes = {"train/a": (8, 9), "Train/d": (8, 9), "val/b": (8, 9)}
    source = make_folder(tmp_path / "source", sizes)
    refused(source, tmp_path, "images: '[Tt]rain' and '[Tt]rain' name the same split: choose one")
    (source / "splits").mkdir()
    (source / "splits/val.txt").write_text("val/b")
    (source / "splits/Val.txt").write_text("train/a")
    refused(source, tmp_path, "splits: 'Val' and 'val' name the same split")
    rows = [f"images/{name}.png,labels/{name}.png,{name.split('/')[0]}" for name in sizes]
    (source / "list.csv").write_text("\n".join(["image,label,split", *rows]))
    refused(source / "list.csv", tmp_path, r"list\.csv: 'train' and 'Train' name the same split")


def test_records_hold_the_images_and_masks(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", {"train/a": (8, 9), "val/b": (7, 5)}, suffix=".jpg")
    dataset = load(source, tmp_path / "data")
    (record,) = dataset.records("val")
    assert record["image"].numpy() == (source / "images/val/b.jpg").read_bytes()
    with Image.open(source / "labels/val/b.png") as mask:
        np.testing.assert_array_equal(decode_label(record["label"]), np.asarray(mask))


def test_split_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_folder(tmp_path / "source", numbered(5))
    # An image that no list names needs no mask.
    (source / "labels/picture04.png").unlink()
    (source / "splits").mkdir()
    (source / "splits/train.txt").write_text("picture02\npicture00\n\n")
    (source / "splits/val.txt").write_text("picture01.png\n")
    (source / "splits/trainval.txt").write_text("picture01\npicture02\npicture00\n")
    dataset = load(source, tmp_path / "data")
    assert dataset.splits == {"train": 2, "val": 1, "trainval": 3}
    assert ids_of(dataset, "train") == ["picture02", "picture00"]
    assert "2 of 5 images are in no split list" in capsys.readouterr().out


def test_without_splits_90_10_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load(make_folder(tmp_path / "source", numbered(30)), tmp_path / "data")
    assert sum(dataset.splits.values()) == 30
    assert 1 <= dataset.splits["val"] <= 9
    assert not set(ids_of(dataset, "train")) & set(ids_of(dataset, "val"))
    assert f"{dataset.splits['val']} for validation, by a hash" in capsys.readouterr().out


@pytest.mark.parametrize("count", range(2, 12))
def test_the_split_by_hash_fills_both_sides_and_is_stable(count: int) -> None:
    pairs = [Pair(f"x{index}", Path("a"), Path("b")) for index in range(400)]
    splits, _ = split_by_hash(pairs[:count])
    assert min(len(split) for split in splits.values()) >= 1
    everything, _ = split_by_hash(pairs)
    again, _ = split_by_hash(pairs[::2])
    assert 20 <= len(everything["val"]) <= 60
    assert set(again["val"]) == set(everything["val"]) & set(pairs[::2])


def test_one_image_cannot_be_split(tmp_path: Path) -> None:
    refused(make_folder(tmp_path / "source", numbered(1)), tmp_path, "cannot be split")


def test_it_is_prepared_once_and_quietly(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data [1]"  # TFDS takes it for a pattern
    before = sorted(path.stat().st_mtime_ns for path in source.rglob("*"))
    load(source, data)
    captured = capfd.readouterr()
    assert captured.out.count("\n") == 1 and str(data) in captured.out
    assert captured.err == ""
    load(source, data)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert sorted(path.stat().st_mtime_ns for path in source.rglob("*")) == before
    assert [path.name for path in data.iterdir()] == ["folder"]


def test_beam_does_not_write_where_it_would_not_find_its_files(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(2))
    folders = {"source_dir": str(source), "data_dir": str(tmp_path / "data[1]")}
    with pytest.raises(DeepLabError, match=r"Beam .*/data\[1\]: choose a --data_dir"):
        load_dataset("folder", **folders, beam_flags=["--runner=DirectRunner"])
    assert not (tmp_path / "data[1]").exists()


def test_a_repaired_mask_is_not_shadowed(source: Path, tmp_path: Path) -> None:
    load(source, tmp_path / "data")
    repaired = np.full((8, 9), 2, np.uint8)
    save(source / "labels/val/b.png", repaired)
    labels = labels_of(load(source, tmp_path / "data"), "val")
    np.testing.assert_array_equal(labels["val/b"], repaired)


def test_another_class_list_is_another_copy(source: Path, tmp_path: Path) -> None:
    load(source, tmp_path / "data")
    (source / "classes.json").write_text(json.dumps({"classes": ["w", "x", "y", "z"]}))
    assert load(source, tmp_path / "data").class_names == ("w", "x", "y", "z")


def test_a_copied_source_needs_no_new_copy(source: Path, tmp_path: Path) -> None:
    load(source, tmp_path / "data")
    shutil.copytree(source, tmp_path / "moved")  # keeps the times
    load(tmp_path / "moved", tmp_path / "data")
    assert len(list((tmp_path / "data/folder").iterdir())) == 1


def test_an_id_of_the_list_can_be_ignored(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", {"train/a": (8, 9), "val/b": (7, 5)}, ignore=0)
    dataset = load(source, tmp_path / "data")
    assert dataset.num_classes == 3
    for split, name in (("train", "train/a"), ("val", "val/b")):
        assert set(np.unique(labels_of(dataset, split)[name])) == {1, 2, 255}


def test_more_than_255_classes(tmp_path: Path) -> None:
    names = [f"class {index}" for index in range(300)]
    source = make_folder(tmp_path / "source", {"train/a": (8, 9), "val/b": (8, 9)}, classes=names)
    mask = np.arange(72, dtype=np.uint16).reshape(8, 9) + 228
    mask[0, 0] = 65535
    save(source / "labels/val/b.png", mask)
    dataset = load(source, tmp_path / "data")
    assert (dataset.num_classes, dataset.ignore_label) == (300, 65535)
    np.testing.assert_array_equal(labels_of(dataset, "val")["val/b"], mask)


def test_odd_images_are_converted(source: Path, tmp_path: Path) -> None:
    gray = random_mask(8, 9, range(256))
    save(source / "images/val/b.png", gray)
    (record,) = load(source, tmp_path / "data").records("val")
    decoded = decode_image(record["image"])
    np.testing.assert_array_equal(decoded, np.repeat(gray[..., None], 3, axis=2))


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(DeepLabError, match=r"needs --source_dir"):
        load_dataset("folder", data_dir=str(tmp_path / "data"))
    refused(tmp_path / "missing", tmp_path, "missing does not exist")
    refused(tmp_path / "missing.csv", tmp_path, r"missing\.csv does not exist")
    refused(tmp_path / ("n" * 300), tmp_path, "nnn does not exist")
    refused(tmp_path / f"{'n' * 300}.csv", tmp_path, r"nnn\.csv does not exist")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "empty is empty")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", tmp_path, "is not a folder")


def test_parts_missing(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(3), classes=None)
    refused(source, tmp_path, r"no classes\.json or classes\.txt")
    (source / "classes.txt").write_text("a\nb\nc\n")
    (source / "labels").rename(source / "masks")
    refused(source, tmp_path, "has no labels/; expected images/")
    (source / "labels").mkdir()
    refused(
        source,
        tmp_path,
        r"picture00\.png has no mask: expected .*labels/picture00\.png \(3 such problems",
    )
    shutil.rmtree(source / "images")
    (source / "images").mkdir()
    refused(source, tmp_path, "no images in")


def test_images_and_masks_that_do_not_pair(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(4))
    (source / "images/picture02.png").unlink()
    refused(source, tmp_path, r"labels/picture02\.png has no image: expected")
    save(source / "images/picture02.png", random_image(12, 16))
    save(source / "images/picture02.jpg", random_image(12, 16))
    refused(source, tmp_path, r"picture02.* have the same name")


def test_images_and_masks_in_one_folder(tmp_path: Path) -> None:
    save(tmp_path / "all/a.jpg", random_image(8, 9))
    save(tmp_path / "all/a.png", random_mask(8, 9))
    with pytest.raises(DeepLabError, match=r"move all masks into a folder of their own") as caught:
        match_files(tmp_path / "all", tmp_path / "all")
    assert all(str(tmp_path / f"all/a.{end}") in str(caught.value) for end in ("jpg", "png"))
    assert "keep" not in str(caught.value)


@pytest.mark.parametrize(
    ("there", "advice"),
    [
        ("labels/a.jpg.png", "rename it a.png"),
        ("labels/a_mask.png", "rename it a.png"),
        ("labels/a-labelIds.PNG", "rename it a.png"),
        ("labels/A.png", "rename it a.png"),
        ("labels/a.tif", "save it as a.png"),
        ("labels/a_segmentation.npy", "save it as a.png"),
        ("images/a.json", "labelme"),
        ("labels/a.json", "labelme"),
        ("images/a_mask.tif", "save it as a.png"),
        ("labels/ab.png", ""),
        ("labels/a_b.tif", ""),
        ("labels/.a.json.swp", ""),
    ],
)
@pytest.mark.parametrize("kind", ["two folders", "split list", "csv"])
def test_a_file_that_lies_there_in_place_of_a_mask_is_named(
    kind: str, there: str, advice: str, tmp_path: Path
) -> None:
    source = make_folder(tmp_path / "source", {"b": (8, 9), "c": (8, 9)})
    save(source / "images/a.jpg", random_image(8, 9))
    (source / there).write_bytes(b"")
    if kind == "csv":
        lines = ["image,label", "images/b.png,labels/b.png", "images/a.jpg,labels/a.png"]
        (source / "a.csv").write_text("\n".join(lines))
    elif kind == "split list":
        (source / "splits").mkdir()
        (source / "splits/train.txt").write_text("a\nb")
    read = scan_list(source / "a.csv") if kind == "csv" else scan_folder(source)
    problem = read.problems[0]
    assert (problem.kind, problem.file) == ("missing_mask", source / "images/a.jpg")
    assert "a.png" in problem.detail
    expected = f"; {source / there} is there: " if advice else ""
    assert expected in problem.detail and advice in problem.detail
    assert ("is there" in problem.detail) == bool(advice)


def test_a_file_that_lies_there_in_place_of_an_image_is_named(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(3))
    (source / "images/picture01.png").rename(source / "images/picture01.tif")
    refused(
        source, tmp_path, r"picture01\.png has no image: .*images/picture01\.tif is there: save"
    )


def test_links_to_folders_are_followed_once(source: Path, tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (source / part / "train").rename(tmp_path / part)
        (source / part / "train").symlink_to(tmp_path / part)
        # Two folders that lead to each other.
        for name, other in (("x", "y"), ("y", "x")):
            (tmp_path / f"{part} {name}").mkdir()
            (tmp_path / f"{part} {name}" / other).symlink_to(tmp_path / f"{part} {other}")
        (tmp_path / part / "more").symlink_to(tmp_path / f"{part} x")
        (source / part / "val" / "up").symlink_to(source / part)
    save(tmp_path / "images y" / "c.png", random_image(8, 9, 5))
    save(tmp_path / "labels y" / "c.png", random_mask(8, 9))
    dataset = load(source, tmp_path / "data")
    assert ids_of(dataset, "train") == ["train/a", "train/more/y/c"]
    assert ids_of(dataset, "val") == ["val/b"]


def test_bad_splits(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", {"train/a": (8, 9), "val/b": (8, 9), "c": (8, 9)})
    refused(source, tmp_path, r"c\.png lies beside the split folders")
    splits = source / "splits"
    splits.mkdir()
    (splits / "train.txt").write_text("train/a\nnothing\n")
    refused(source, tmp_path, r"train\.txt names 'nothing'")
    (splits / "train.txt").write_text("c\nc\n")
    refused(source, tmp_path, "names 'c' twice")
    (splits / "train.txt").write_text("\n")
    refused(source, tmp_path, r"train\.txt is empty")
    (splits / "train.txt").rename(splits / "my-split.txt")
    refused(source, tmp_path, "'my-split' cannot name a split")


@pytest.mark.parametrize("border", [False, True])
def test_masks_of_0_and_255_among_others(
    border: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make_folder(tmp_path / "source", numbered(4), ids=(0, 255))
    for number in (2, 3) if border else (3,):
        ids = (0, 1, 255) if border else (0, 1)
        save(source / f"labels/picture0{number}.png", random_mask(12, 16, ids))
    assert sum(load(source, tmp_path / "data").splits.values()) == 4
    err = capfd.readouterr().err
    # Two of four masks that hold 255 may be of a set with borders; three of three are not.
    warning = "warning: 3 of 4 masks hold nothing but 0 and 255"
    assert err.startswith(warning) != border and err.count("\n") == (0 if border else 1)
    assert border or "save it as 1" in err


def test_what_exif_turns_is_told_when_it_is_prepared(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Upside down: the size stays. Then on its side.
    Image.fromarray(random_image(8, 9)).save(source / "images/train/a.png", exif=orientation(3))
    load(source, tmp_path / "data")
    err = capfd.readouterr().err
    assert err.startswith("warning: ") and err.count("\n") == 1
    assert re.findall(r"\d+", err) == ["1", "0"]  # images, and their masks too
    Image.fromarray(random_image(8, 9)).save(source / "images/val/b.png", exif=orientation(6))
    refused(source, tmp_path, r"val/b\.png is 8x9 .*labels/val/b\.png is 9x8.*EXIF turns one")


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    good = make_folder(tmp_path / "good", {"train/a": (8, 9), "val/b": (8, 9)})
    bad = make_folder(tmp_path / "bad", {"train/a": (8, 9), "val/b": (8, 9)}, ids=(0, 9))
    data_dir = tmp_path / "data"
    load(good, data_dir)
    before = sorted(data_dir.rglob("*"))
    with pytest.raises(DeepLabError):
        load(bad, data_dir)
    assert sorted(data_dir.rglob("*")) == before


def test_the_default_data_dir(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "records"))
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset("folder", source_dir="source")
    assert dataset.data_dir == str(tmp_path / "records")
    assert dataset.source_dir == os.fspath(source)


def test_unknown_data_set(tmp_path: Path) -> None:
    with pytest.raises(DeepLabError, match=r"'foldr'; did you mean 'folder'\?"):
        load_dataset("foldr", data_dir=str(tmp_path / "data"))


def test_voc_images(
    reference_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = load(reference_data / "data" / "voc46", tmp_path / "data")
    assert sum(dataset.splits.values()) == 46
    assert dataset.num_classes == 21
    assert dataset.class_names[20] == "tvmonitor" and dataset.colors[20] == (0, 64, 128)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left"), DeepLabError),
        # As TensorFlow's writer puts it.
        (tf.errors.ResourceExhaustedError(None, None, "x; No space left"), DeepLabError),
        (AttributeError("a mistake of ours"), AttributeError),
    ],
)
def test_an_interrupted_preparation_leaves_nothing(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
) -> None:
    def fail(
        pair: Pair, rule: IdRule, stored_ids: None, channels: int
    ) -> tuple[dict[str, object], PairTally]:
        if pair.id == "val/b":
            raise error
        return encoded_pair(pair, rule)

    monkeypatch.setattr("deeplab.data.builders.folder.encoded_pair", fail)
    with pytest.raises(raised, match=None if raised is KeyboardInterrupt else "space|ours"):
        load(source, tmp_path / "not" / "yet")
    assert not (tmp_path / "not").exists()
