"""The data set `camvid` in both layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from archives import CAMVID_IDS, SIZE, expect_dummies, make_camvid, mask_of
from source_folders import make_folder, random_mask, save

from deeplab.data import DATASETS, PreparedDataset, load_dataset
from deeplab.data.files.decode import decode_label
from deeplab.errors import DeepLabError

NAMES = DATASETS["camvid"].class_names or ()


def load(data_dir: Path, source: Path | None = None) -> PreparedDataset:
    return load_dataset(
        "camvid", data_dir=str(data_dir), source_dir=None if source is None else str(source)
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    expect_dummies(monkeypatch, "camvid")


@pytest.mark.usefixtures("small")
def test_the_segnet_layout(tmp_path: Path) -> None:
    source = make_camvid(tmp_path / "source")
    dataset = load(tmp_path / "data", source)
    assert dataset.splits == {"train": 3, "val": 2, "test": 1}
    assert (dataset.train_split, dataset.eval_split) == ("train", "val")
    assert dataset.class_names == NAMES and dataset.num_classes == 11
    records = list(dataset.records("val"))
    assert [record["id"].numpy() for record in records] == [b"val0", b"val1"]
    for index, record in enumerate(records):
        mask = mask_of(f"val{index}", CAMVID_IDS)
        expected = np.where(mask == 11, 255, mask)  # void
        np.testing.assert_array_equal(decode_label(record["label"]), expected)


@pytest.mark.usefixtures("small")
def test_a_prepared_copy_needs_no_source(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with pytest.raises(DeepLabError, match=r"not prepared in .*--source_dir"):
        load(data_dir)
    assert not data_dir.exists()
    source = make_camvid(tmp_path / "source")
    load(data_dir, source)
    assert load(data_dir).splits == {"train": 3, "val": 2, "test": 1}
    save(source / "valannot/val0.png", random_mask(*SIZE, (1, 2)))
    load(data_dir, source)
    with pytest.raises(DeepLabError, match="2 copies"):
        load(data_dir)


def test_the_classes_of_a_folder_must_be_camvid_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_folder(
        tmp_path / "source", {"train/a": (6, 8), "val/b": (6, 8)}, classes=[*NAMES[1:], NAMES[0]]
    )
    with pytest.raises(DeepLabError, match=r"not those of camvid in their order"):
        load(tmp_path / "data", source)
    make_folder(source, {}, classes=[name.title() for name in NAMES])
    expect_dummies(monkeypatch, "camvid", train=1, val=1)
    assert load(tmp_path / "data", source).class_names == NAMES


def test_a_folder_that_is_not_camvid(tmp_path: Path) -> None:
    (tmp_path / "source" / "something").mkdir(parents=True)
    with pytest.raises(DeepLabError, match=r"holds no CamVid; to have camvid: pass --source_dir"):
        load(tmp_path / "data", tmp_path / "source")
    (tmp_path / "source" / "train").mkdir()
    with pytest.raises(DeepLabError, match=r"no folder .*trainannot"):
        load(tmp_path / "data", tmp_path / "source")
    assert not (tmp_path / "data").exists()


def test_the_real_images(reference_data: Path, tmp_path: Path) -> None:
    dataset = load(tmp_path / "data", reference_data / "data" / "camvid")
    expected = DATASETS["camvid"].split_sizes
    assert dataset.splits == {split: expected[split] for split in ("train", "val")}
    record = next(iter(dataset.records("val")))
    label = decode_label(record["label"])
    assert label.shape == (360, 480)
    assert set(np.unique(label)) <= {*range(11), 255}
