"""Every data set of `DATASETS`: its specification, and preparing it from a dummy archive."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from archives import (
    ADE20K_IDS,
    ARCHIVES,
    CITYSCAPES_IDS,
    COCO_IDS,
    EXTRA_SIZES,
    PET_IDS,
    SIZE,
    expect_dummies,
    load,
    make_pets,
    make_source,
    mask_of,
    refusal,
)
from source_folders import labels_of, save

from deeplab.data import DATASETS, load_dataset
from deeplab.data.builders import coco_stuff
from deeplab.data.files.decode import decode_image, decode_label
from deeplab.errors import DeepLabError

pytestmark = pytest.mark.usefixtures("no_network")

NEEDING_FILES = sorted(name for name, spec in DATASETS.items() if spec.needs_source_dir)
PUBLISHED = sorted(name for name, spec in DATASETS.items() if spec.citation)


def test_every_data_set_has_a_dummy_archive() -> None:
    assert ARCHIVES.keys() == DATASETS.keys()


@pytest.mark.parametrize("name", DATASETS)
def test_a_specification_is_complete(name: str) -> None:
    spec = DATASETS[name]
    assert spec.name == name
    for text in (spec.description, spec.license, spec.how_to_get):
        assert text and text == text.strip()
    assert "\n" not in spec.how_to_get  # it ends messages
    assert spec.train_split != spec.eval_split
    assert (spec.class_names is None) == (spec.colors is None)
    if spec.class_names is None or spec.colors is None:
        assert not spec.split_sizes
        return
    assert len(set(spec.class_names)) == len(spec.class_names) == len(spec.colors)
    assert all(name == name.strip() != "" for name in spec.class_names)
    assert len(set(spec.colors)) == len(spec.colors)
    assert all(0 <= level <= 255 for color in spec.colors for level in color)
    assert spec.ignore_label == 255 >= len(spec.class_names)
    assert {spec.train_split, spec.eval_split} <= spec.split_sizes.keys()
    assert spec.split_hints.keys() <= spec.split_sizes.keys()
    assert not spec.extra_splits.keys() & spec.split_sizes.keys()
    assert all(size > 0 for size in spec.split_sizes.values())
    if spec.label_map is not None:
        classes = range(len(spec.class_names))
        assert len(spec.label_map) == 256
        assert spec.label_map[spec.ignore_label] == spec.ignore_label, "what pads stays ignored"
        assert sorted(set(spec.label_map)) == [*classes, spec.ignore_label]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_data_set_says_where_it_comes_from(name: str) -> None:
    spec = DATASETS[name]
    assert spec.citation.startswith("@") and spec.citation.count("{") == spec.citation.count("}")


def test_the_numbers_of_the_literature() -> None:
    rows = {name: (len(s.class_names or ()), dict(s.split_sizes)) for name, s in DATASETS.items()}
    assert rows["voc_2012"] == (
        21,
        {"train": 1464, "trainaug": 10582, "trainval": 2913, "val": 1449},
    )
    assert rows["cityscapes"] == (19, {"train": 2975, "validation": 500, "test": 1525})
    assert rows["ade20k"] == (150, {"train": 20210, "val": 2000})
    assert rows["camvid"] == (11, {"train": 367, "val": 101, "test": 233})
    assert rows["oxford_iiit_pet"] == (2, {"train": 3680, "test": 3669})
    assert rows["coco_stuff"] == (171, {"train": 118287, "val": 5000})


@pytest.mark.parametrize("name", DATASETS)
def test_prepares_from_an_archive_of_the_true_layout(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, name)
    source = make_source(monkeypatch, name, tmp_path)
    dataset = load(name, tmp_path, source)
    assert dataset.splits == ARCHIVES[name].sizes
    assert dataset.train_split in dataset.splits and dataset.eval_split in dataset.splits
    spec = DATASETS[name]
    if spec.class_names is not None:
        assert (dataset.class_names, dataset.colors) == (spec.class_names, spec.colors)
    for split in dataset.splits:
        ids = set()
        for record in dataset.records(split):
            image = decode_image(record["image"]).numpy()
            label = decode_label(record["label"], dataset.label_map).numpy()
            assert image.shape == (*label.shape, 3) and image.std() > 0
            assert set(np.unique(label)) <= {*range(dataset.num_classes), dataset.ignore_label}
            ids.add(record["id"].numpy())
        assert len(ids) == dataset.splits[split]
    # What TFDS unpacks does not stay.
    assert not [path for path in (tmp_path / "data").iterdir() if "downloads" in path.name]


@pytest.mark.parametrize("name", sorted({*NEEDING_FILES} - {"folder"}))
def test_a_prepared_copy_needs_no_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, name)
    made = load(name, tmp_path, make_source(monkeypatch, name, tmp_path))
    again = load(name, tmp_path)
    assert again.splits == made.splits and again.source_dir is None
    first, second = (next(iter(d.records(d.eval_split))) for d in (made, again))
    assert first["label"] == second["label"] and first["id"] == second["id"]


@pytest.mark.parametrize("name", NEEDING_FILES)
def test_missing_files_are_told_with_the_way_to_get_them(name: str, tmp_path: Path) -> None:
    how = DATASETS[name].how_to_get
    assert refusal(name, tmp_path).endswith(how)
    missing = refusal(name, tmp_path, tmp_path / "nowhere")
    assert "nowhere does not exist" in missing and missing.endswith(how)
    (tmp_path / "empty").mkdir()
    assert refusal(name, tmp_path, tmp_path / "empty").endswith(how)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", sorted({*NEEDING_FILES} - {"folder"}))
def test_a_folder_of_something_else(name: str, tmp_path: Path) -> None:
    (tmp_path / "source" / "holiday").mkdir(parents=True)
    message = refusal(name, tmp_path, tmp_path / "source")
    assert str(tmp_path / "source") in message and message.endswith(DATASETS[name].how_to_get)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_part_of_a_data_set_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = DATASETS[name].train_split
    expect_dummies(monkeypatch, name, **{split: 2975})
    source = make_source(monkeypatch, name, tmp_path)
    found = ARCHIVES[name].sizes[split]
    message = refusal(name, tmp_path, source)
    assert f"{name} has 2,975 images in the split {split!r}, found {found};" in message
    assert "'folder'" in message and message.endswith(DATASETS[name].how_to_get)
    if not DATASETS[name].prepared_by_tfds:
        assert not (tmp_path / "data").exists()


def test_a_set_that_is_drawn_takes_no_files(tmp_path: Path) -> None:
    assert "takes no source folder" in refusal("shapes", tmp_path, tmp_path)


def test_the_number_of_classes_is_checked_first(tmp_path: Path) -> None:
    with pytest.raises(DeepLabError, match="has 2 classes"):
        load_dataset("oxford_iiit_pet", data_dir=str(tmp_path / "data"), num_classes=37)
    assert not (tmp_path / "data").exists()


# Stored ids


@pytest.mark.parametrize(
    ("name", "split", "image", "ids", "expected"),
    [
        # By hand: other, wall, building, flag.
        ("ade20k", "val", "ADE_val_00000001", ADE20K_IDS, {0: 255, 1: 0, 2: 1, 150: 149}),
        # person, traffic light's neighbor fire hydrant, stop sign, toothbrush, banner, wood.
        ("coco_stuff", "val", "1", COCO_IDS, {0: 0, 10: 10, 12: 11, 89: 79, 91: 80, 181: 170}),
    ],
)
def test_stored_ids_become_class_ids(
    name: str,
    split: str,
    image: str,
    ids: tuple[int, ...],
    expected: dict[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expect_dummies(monkeypatch, name)
    dataset = load(name, tmp_path, make_source(monkeypatch, name, tmp_path))
    stored = mask_of(image, ids)
    (label,) = labels_of(dataset, split).values()
    for stored_id, class_id in expected.items():
        assert (stored == stored_id).any()
        assert (label[stored == stored_id] == class_id).all()


def test_classes_of_coco_stuff_by_stored_id() -> None:
    names = DATASETS["coco_stuff"].class_names or ()
    by_id = {stored: names[c] for stored, c in coco_stuff.STORED_IDS.items() if c != 255}
    # COCO's ids less one: 13 stop sign, 27 backpack, 90 toothbrush, 92 banner, 157 sky-other.
    ids = {12: "stop sign", 26: "backpack", 89: "toothbrush", 91: "banner", 156: "sky-other"}
    assert {stored: by_id[stored] for stored in ids} == ids
    assert len(by_id) == 171 and max(by_id) == 181


def test_an_id_that_a_data_set_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, "coco_stuff")
    source = make_source(monkeypatch, "coco_stuff", tmp_path)
    mask = tmp_path / "source/stuffthingmaps/val2017/1.png"
    save(mask, np.full(SIZE, 11, np.uint8))  # a category that was never annotated
    message = refusal("coco_stuff", tmp_path, source)
    assert f"{mask} holds the ids 11, which are none" in message
    assert not (tmp_path / "data").exists()


# Cityscapes and pets: what TFDS's own builders store


@pytest.mark.parametrize("name", ["cityscapes", "oxford_iiit_pet"])
def test_the_features_are_those_of_tfds(name: str) -> None:
    spec = DATASETS[name]
    assert spec.prepared_by_tfds
    features = tfds.builder(spec.copies.removesuffix("/*") or name).info.features
    assert set(dataclasses.astuple(spec.record_keys)) <= set(features)


def test_cityscapes_ids_become_train_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_dummies(monkeypatch, "cityscapes")
    dataset = load("cityscapes", tmp_path, make_source(monkeypatch, "cityscapes", tmp_path))
    assert (dataset.train_split, dataset.eval_split) == ("train", "validation")
    stored = mask_of("frankfurt_000000_000294", CITYSCAPES_IDS)
    label = labels_of(dataset, "val")["frankfurt_000000_000294"]
    # By hand: road, building, sky, bicycle; and what is not evaluated.
    for stored_id, class_id in {7: 0, 11: 2, 23: 10, 33: 18, 0: 255, 14: 255, 29: 255}.items():
        assert (stored == stored_id).any()
        assert (label[stored == stored_id] == class_id).all()


def test_cityscapes_coarse_images_are_prepared_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, "cityscapes")
    source = make_source(monkeypatch, "cityscapes", tmp_path)
    fine = load("cityscapes", tmp_path, source)
    with pytest.raises(DeepLabError, match=r"unknown split 'train_extr'.*train_extra"):
        fine.find_split("train_extr", "train")
    both = load("cityscapes", tmp_path, source, "train_extra", "val")
    assert both.splits == {**fine.splits, **EXTRA_SIZES["cityscapes"]}
    # The evaluation is on the fine masks all the same.
    assert next(iter(both.records("val")))["label"] == next(iter(fine.records("val")))["label"]
    name = "bad-honnef_000000_000000"
    stored = mask_of(f"coarse {name}", CITYSCAPES_IDS)
    label = labels_of(both, "train_extra")[name]
    np.testing.assert_array_equal(label, np.array(both.label_map)[stored])
    again = load("cityscapes", tmp_path, None, "train_extra")
    assert again.splits == both.splits


def test_cityscapes_coarse_needs_its_own_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, "cityscapes")
    source = make_source(monkeypatch, "cityscapes", tmp_path)
    (tmp_path / "source" / "gtCoarse.zip").unlink()
    message = refusal("cityscapes", tmp_path, source, "train_extra")
    assert "has no gtCoarse.zip" in message
    assert message.endswith(DATASETS["cityscapes"].extra_splits["train_extra"].how_to_get)
    assert not (tmp_path / "data").exists()
    assert load("cityscapes", tmp_path, source).splits == ARCHIVES["cityscapes"].sizes


def test_a_damaged_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source(monkeypatch, "cityscapes", tmp_path)
    (tmp_path / "source" / "gtFine_trainvaltest.zip").write_bytes(b"PK not")
    message = refusal("cityscapes", tmp_path, source)
    assert "TFDS cannot prepare the data set 'cityscapes'" in message and "zip" in message
    assert not (tmp_path / "data").exists()


def test_pets_and_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_dummies(monkeypatch, "oxford_iiit_pet")
    dataset = load(
        "oxford_iiit_pet", tmp_path, make_source(monkeypatch, "oxford_iiit_pet", tmp_path)
    )
    trimap = mask_of("pug_3", PET_IDS)
    (label,) = labels_of(dataset, "test").values()
    for stored, class_id in ((1, 1), (2, 0), (3, 255)):
        assert (label[trimap == stored] == class_id).all() and (trimap == stored).any()
    assert dataset.class_names == ("background", "pet")


def test_pets_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object) -> None:
        raise OSError("the network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    # TFDS waits between its tries, for minutes in all.
    monkeypatch.setattr(tfds.core.download.downloader, "MAX_RETRIES", 0)
    message = refusal("oxford_iiit_pet", tmp_path)
    assert "TFDS cannot prepare the data set 'oxford_iiit_pet'" in message
    assert message.endswith(DATASETS["oxford_iiit_pet"].how_to_get)
    assert not (tmp_path / "data").exists()


def test_archives_of_pets_that_are_not_those(tmp_path: Path) -> None:
    message = refusal("oxford_iiit_pet", tmp_path, make_pets(tmp_path / "source"))
    assert "TFDS cannot prepare" in message and "hecksum" in message
    assert not (tmp_path / "data").exists()
