"""The data set `camvid` in both layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from archives import CAMVID_IDS, expect_dummies, load, make_camvid, mask_of, refusal
from source_folders import labels_of, make_folder

from deeplab.data import DATASETS
from deeplab.data.files.decode import decode_label

NAMES = DATASETS["camvid"].class_names or ()


def test_the_segnet_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_dummies(monkeypatch, "camvid")
    dataset = load("camvid", tmp_path, make_camvid(tmp_path / "source"))
    assert dataset.splits == {"train": 3, "val": 2, "test": 1}
    assert (dataset.train_split, dataset.eval_split) == ("train", "val")
    assert dataset.class_names == NAMES and dataset.num_classes == 11
    labels = labels_of(dataset, "val")
    assert list(labels) == ["val0", "val1"]
    for name, label in labels.items():
        mask = mask_of(name, CAMVID_IDS)
        np.testing.assert_array_equal(label, np.where(mask == 11, 255, mask))  # void


def test_the_classes_of_a_folder_must_be_camvid_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_folder(
        tmp_path / "source", {"train/a": (6, 8), "val/b": (6, 8)}, classes=[*NAMES[1:], NAMES[0]]
    )
    assert "not those of camvid in their order" in refusal("camvid", tmp_path, source)
    make_folder(source, {}, classes=[name.title() for name in NAMES])
    expect_dummies(monkeypatch, "camvid", train=1, val=1)
    assert load("camvid", tmp_path, source).class_names == NAMES


def test_a_half_of_camvid(tmp_path: Path) -> None:
    (tmp_path / "source" / "train").mkdir(parents=True)
    message = refusal("camvid", tmp_path, tmp_path / "source")
    assert str(tmp_path / "source" / "trainannot") in message
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_the_real_images(reference_data: Path, tmp_path: Path) -> None:
    dataset = load("camvid", tmp_path, reference_data / "data" / "camvid")
    expected = DATASETS["camvid"].split_sizes
    assert dataset.splits == {split: expected[split] for split in ("train", "val")}
    (record,) = dataset.records("val").take(1)
    label = decode_label(record["label"])
    assert label.shape == (360, 480)
    assert set(np.unique(label)) <= {*range(11), 255}
