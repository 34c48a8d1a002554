"""The data set `voc_2012`: which images and masks its splits hold, and what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from archives import (
    SIZE,
    VOC_AUG,
    VOC_IDS,
    VOC_LISTS,
    expect_dummies,
    load,
    make_sbd,
    make_voc,
    mask_of,
    refusal,
    save_mat,
)
from image_bytes import save_palette
from source_folders import labels_of, save

from deeplab.data.files.masks import read_sbd_mask
from deeplab.errors import DeepLabError


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    expect_dummies(monkeypatch, "voc_2012")


def expected(name: str) -> npt.NDArray[np.uint8]:
    """VOC's own mask where there is one, else SBD's."""
    if name in VOC_LISTS["trainval"]:
        return mask_of(name, VOC_IDS)
    return mask_of(f"sbd {name}", range(21))


@pytest.mark.parametrize("split", ["train", "val", "trainval", "trainaug"])
def test_the_images_and_masks_of_a_split(tmp_path: Path, split: str) -> None:
    found = labels_of(load("voc_2012", tmp_path, make_sbd(make_voc(tmp_path / "source"))), split)
    assert list(found) == (VOC_AUG if split == "trainaug" else VOC_LISTS[split])
    for name, label in found.items():
        np.testing.assert_array_equal(label, expected(name))


@pytest.mark.parametrize("folder", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
@pytest.mark.parametrize("sbd", ["", "SBD", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_where_the_archives_may_lie(tmp_path: Path, folder: str, sbd: str) -> None:
    root = make_voc(tmp_path / "source")
    make_sbd(root / sbd)
    assert load("voc_2012", tmp_path, root / folder, "trainaug").splits["trainaug"] == len(VOC_AUG)


def test_without_sbd_the_other_splits_work(tmp_path: Path) -> None:
    source = make_voc(tmp_path / "source")
    message = refusal("voc_2012", tmp_path, source, "trainaug")
    assert "no split 'trainaug' here: unpack benchmark.tgz" in message
    assert not (tmp_path / "data").exists()
    dataset = load("voc_2012", tmp_path, source, "train", "val")
    assert dataset.splits == {"train": 3, "trainval": 5, "val": 2}
    with pytest.raises(DeepLabError, match=r"no split 'trainaug' here: unpack benchmark\.tgz"):
        dataset.find_split("trainaug", "train")
    make_sbd(source)  # later
    assert load("voc_2012", tmp_path, source, "trainaug").splits["trainaug"] == 7
    assert "holds 2 copies" in refusal("voc_2012", tmp_path, None)


def test_a_merged_folder_takes_the_place_of_sbd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_voc(tmp_path / "source")
    merged = source / "VOCdevkit/VOC2012/SegmentationClassAug"
    for name in [*VOC_AUG, "v0", "v1"]:
        save(merged / f"{name}.png", mask_of(f"sbd {name}", range(21)))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # no SciPy is needed
    found = labels_of(load("voc_2012", tmp_path, source, "trainaug"), "trainaug")
    assert list(found) == VOC_AUG
    for name, label in found.items():
        np.testing.assert_array_equal(label, expected(name))


def test_images_that_only_sbd_has(tmp_path: Path) -> None:
    source = make_sbd(make_voc(tmp_path / "source"))
    (source / "VOCdevkit/VOC2012/JPEGImages/s1.jpg").unlink()
    assert load("voc_2012", tmp_path, source, "trainaug").splits["trainaug"] == 7
    (source / "benchmark_RELEASE/dataset/img/s1.jpg").unlink()
    assert "1 of 7 images of the split trainaug are not in" in refusal("voc_2012", tmp_path, source)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("VOCdevkit/VOC2012/ImageSets/Segmentation/trainval.txt", "no .*trainval.txt"),
        ("VOCdevkit/VOC2012/SegmentationClass/t1.png", "1 of 3 masks of the split train .* is t1"),
        ("VOCdevkit/VOC2012/JPEGImages/v1.jpg", "1 of 2 images of the split val .* is v1"),
        ("benchmark_RELEASE/dataset/val.txt", "no .*dataset/val.txt"),
        ("benchmark_RELEASE/dataset/cls/s2.mat", "1 of 6 masks of SBD .*cls/s2.mat"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, file: str, message: str) -> None:
    source = make_sbd(make_voc(tmp_path / "source"))
    (source / file).unlink()
    with pytest.raises(DeepLabError, match=f"{message}.*; to have voc_2012: unpack VOCtrainval"):
        load("voc_2012", tmp_path, source)
    assert not (tmp_path / "data").exists()


def test_lists_that_contradict_each_other(tmp_path: Path) -> None:
    source = make_voc(tmp_path / "source")
    lists = source / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    (lists / "train.txt").write_text("t0\nt1\nv0\n")
    assert f"the lists in {lists} contradict each other" in refusal("voc_2012", tmp_path, source)


def test_an_incomplete_sbd(tmp_path: Path) -> None:
    source = make_sbd(make_voc(tmp_path / "source"))
    lists = source / "benchmark_RELEASE/dataset"
    (lists / "val.txt").write_text("v0\ns2\n")
    message = refusal("voc_2012", tmp_path, source)
    assert "voc_2012 has 7 images in the split 'trainaug', found 6;" in message


def test_a_changed_mask_is_prepared_anew(tmp_path: Path) -> None:
    source = make_voc(tmp_path / "source")
    load("voc_2012", tmp_path, source)
    changed = np.full(SIZE, 3, np.uint8)
    save_palette(source / "VOCdevkit/VOC2012/SegmentationClass/v0.png", changed)
    np.testing.assert_array_equal(
        labels_of(load("voc_2012", tmp_path, source), "val")["v0"], changed
    )


# Masks of SBD


def test_a_mask_of_sbd(tmp_path: Path) -> None:
    mask = mask_of("any", range(21))
    save_mat(tmp_path / "a.mat", mask)
    read = read_sbd_mask(tmp_path / "a.mat")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask)


def test_files_that_are_no_masks_of_sbd(tmp_path: Path) -> None:
    from scipy.io import savemat

    path = tmp_path / "a.mat"
    path.write_bytes(b"not MATLAB")
    refused(path, "cannot read the mask .*a.mat: ")
    save_mat(path, mask_of("any", range(21)))
    path.write_bytes(path.read_bytes()[:200])
    refused(path, "cannot read the mask .*a.mat: ")
    savemat(path, {"GTinst": {"Segmentation": np.zeros(SIZE, np.uint8)}})
    refused(path, "a.mat has no GTcls: it is no mask of SBD's cls/")
    savemat(path, {"GTcls": {"Segmentation": np.zeros(SIZE)}})
    refused(path, r"a.mat holds float64 \[16, 24\], expected")
    savemat(path, {"GTcls": {"Boundaries": np.zeros(SIZE)}})
    refused(path, "cannot read the mask .*a.mat: .*Segmentation")
    refused(tmp_path / "b.mat", "cannot read the mask .*b.mat: ")


def refused(path: Path, message: str) -> None:
    with pytest.raises(DeepLabError, match=f"^[^\n]*{message}[^\n]*$"):
        read_sbd_mask(path)
