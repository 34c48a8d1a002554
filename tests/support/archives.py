"""Dummy archives of the public data sets: their true layouts, with a few tiny random files.

Every mask is `mask_of` its name and the ids that its data set stores, so that a test can say what
each pixel has to become.
"""

from __future__ import annotations

import dataclasses
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow_datasets as tfds
from image_bytes import save_palette
from scipy.io import savemat
from source_folders import make_folder, random_image, save

from deeplab.data import DATASETS, PreparedDataset, load_dataset
from deeplab.data.builders.shapes import Shapes
from deeplab.errors import DeepLabError

SIZE = (16, 24)

VOC_IDS = (*range(21), 255)
CITYSCAPES_IDS = tuple(range(34))
ADE20K_IDS = tuple(range(151))
PET_IDS = (1, 2, 3)
COCO_IDS = (0, 10, 12, 89, 91, 92, 181, 255)  # 0..90 things with gaps, 91..181 stuff
CAMVID_IDS = tuple(range(12))


def mask_of(name: str, ids: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The mask that the image of that name has: every id, in a random order."""
    height, width = SIZE
    pixels = np.resize(np.array(ids, np.uint8), height * width)
    return np.random.default_rng(zlib.crc32(name.encode())).permutation(pixels).reshape(SIZE)


def save_image(path: Path) -> None:
    save(path, random_image(*SIZE, seed=zlib.crc32(path.stem.encode())))


# VOC: v is in val, t in train; s only in SBD. SBD repeats t0 and v0 with other masks.
VOC_LISTS = {
    "train": ["t0", "t1", "t2"],
    "val": ["v0", "v1"],
    "trainval": ["t0", "t1", "t2", "v0", "v1"],
}
SBD_LISTS = {"train": ["t0", "s0", "s1"], "val": ["v0", "s2", "s3"]}
VOC_AUG = ["s0", "s1", "s2", "s3", "t0", "t1", "t2"]


def make_voc(root: Path) -> Path:
    """VOCdevkit alone."""
    voc = root / "VOCdevkit" / "VOC2012"
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, names in VOC_LISTS.items():
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    for name in VOC_LISTS["trainval"]:
        save_palette(voc / "SegmentationClass" / f"{name}.png", mask_of(name, VOC_IDS))
    for name in {*VOC_LISTS["trainval"], *VOC_AUG, "detection_only"}:
        save_image(voc / "JPEGImages" / f"{name}.jpg")
    return root


def make_sbd(root: Path) -> Path:
    """benchmark_RELEASE."""
    sbd = root / "benchmark_RELEASE" / "dataset"
    (sbd / "cls").mkdir(parents=True)
    (sbd / "inst").mkdir()
    for part, names in SBD_LISTS.items():
        (sbd / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            save_image(sbd / "img" / f"{name}.jpg")
            save_mat(sbd / "cls" / f"{name}.mat", mask_of(f"sbd {name}", range(21)))
    return root


def save_mat(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    content = {"Segmentation": mask, "CategoriesPresent": np.unique(mask[mask > 0])}
    savemat(path, {"GTcls": content}, do_compression=True)


def make_voc_with_sbd(root: Path) -> Path:
    return make_sbd(make_voc(root))


def make_cityscapes(root: Path) -> Path:
    """The zip files of the fine masks, and those of the coarse ones."""
    folders = root.parent / f"{root.name} unpacked"
    cities = {
        "train": ["aachen_000000_000019", "aachen_000001_000019", "bochum_000000_000313"],
        "val": ["frankfurt_000000_000294"],
        "test": ["berlin_000000_000019"],
        "train_extra": ["augsburg_000000_000000", "bad-honnef_000000_000000"],
    }
    for split, names in cities.items():
        extra = split == "train_extra"
        part = folders / ("images_extra" if extra else "images") / "leftImg8bit" / split
        for name in names:
            city = name.split("_")[0]
            save_image(part / city / f"{name}_leftImg8bit.png")
            if not extra:
                fine = folders / "fine" / "gtFine" / split / city
                save(fine / f"{name}_gtFine_labelIds.png", mask_of(name, CITYSCAPES_IDS))
            if split != "test":
                coarse = folders / "coarse" / "gtCoarse" / split / city
                mask = mask_of(f"coarse {name}", CITYSCAPES_IDS)
                save(coarse / f"{name}_gtCoarse_labelIds.png", mask)
    root.mkdir(parents=True)
    for part, archive in {
        "images": "leftImg8bit_trainvaltest.zip",
        "images_extra": "leftImg8bit_trainextra.zip",
        "fine": "gtFine_trainvaltest.zip",
        "coarse": "gtCoarse.zip",
    }.items():
        with zipfile.ZipFile(root / archive, "w") as file:
            for path in sorted((folders / part).rglob("*.png")):
                file.write(path, path.relative_to(folders / part))
    shutil.rmtree(folders)
    return root


def make_ade20k(root: Path) -> Path:
    base = root / "ADEChallengeData2016"
    for split, names in {
        "training": ["ADE_train_00000001", "ADE_train_00000002"],
        "validation": ["ADE_val_00000001"],
    }.items():
        for name in names:
            save_image(base / "images" / split / f"{name}.jpg")
            save(base / "annotations" / split / f"{name}.png", mask_of(name, ADE20K_IDS))
    (base / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n")
    return root


def make_coco_stuff(root: Path) -> Path:
    for split, names in {"train2017": ["000000000009", "000000000025"], "val2017": ["1"]}.items():
        for name in names:
            save_image(root / "images" / split / f"{name}.jpg")
            save(root / "stuffthingmaps" / split / f"{name}.png", mask_of(name, COCO_IDS))
    return root


def make_camvid(root: Path) -> Path:
    """SegNet's layout."""
    for split, count in {"train": 3, "val": 2, "test": 1}.items():
        for index in range(count):
            name = f"{split}{index}"
            save(root / split / f"{name}.png", random_image(*SIZE))
            save(root / f"{split}annot" / f"{name}.png", mask_of(name, CAMVID_IDS))
    return root


def make_pets(root: Path) -> Path:
    """The two archives: .tar.gz by name, plain tar inside, as the site has them."""
    folders = root.parent / f"{root.name} unpacked"
    annotations = folders / "annotations"
    for split, names in {"trainval": ["Abyssinian_1", "beagle_2"], "test": ["pug_3"]}.items():
        for name in names:
            save_image(folders / "images" / f"{name}.jpg")
            save(annotations / "trimaps" / f"{name}.png", mask_of(name, PET_IDS))
        rows = "".join(f"{name} 1 1 1\n" for name in names)
        (annotations / f"{split}.txt").write_text(rows)
    (annotations / "xmls").mkdir()
    root.mkdir(parents=True)
    for part in ("images", "annotations"):
        made = shutil.make_archive(str(root / part), "tar", folders, part)
        Path(made).rename(root / f"{part}.tar.gz")
    shutil.rmtree(folders)
    return root


def make_own_folder(root: Path) -> Path:
    return make_folder(root, {"train/a": SIZE, "train/b": SIZE, "val/c": SIZE})


@dataclasses.dataclass(frozen=True)
class Archive:
    """A dummy archive.

    Attributes:
        make: writes it below a folder and returns the source folder; None if there are no files.
        sizes: images per split.
    """

    make: Callable[[Path], Path] | None
    sizes: Mapping[str, int]


ARCHIVES: dict[str, Archive] = {
    "shapes": Archive(None, {"train": 5, "validation": 2}),
    "folder": Archive(make_own_folder, {"train": 2, "val": 1}),
    "camvid": Archive(make_camvid, {"train": 3, "val": 2, "test": 1}),
    "voc_2012": Archive(make_voc_with_sbd, {"train": 3, "trainaug": 7, "trainval": 5, "val": 2}),
    "cityscapes": Archive(make_cityscapes, {"train": 3, "validation": 1, "test": 1}),
    "ade20k": Archive(make_ade20k, {"train": 2, "val": 1}),
    "oxford_iiit_pet": Archive(make_pets, {"train": 2, "test": 1}),
    "coco_stuff": Archive(make_coco_stuff, {"train": 2, "val": 1}),
}
EXTRA_SIZES = {"cityscapes": {"train_extra": 2}}


def expect_dummies(monkeypatch: pytest.MonkeyPatch, name: str, **sizes: int) -> None:
    """Makes a data set expect as many images as its dummy archive has."""
    spec = DATASETS[name]
    extra = {
        split: dataclasses.replace(part, split_sizes=EXTRA_SIZES[name])
        for split, part in spec.extra_splits.items()
    }
    small = {**ARCHIVES[name].sizes, **sizes} if spec.split_sizes else {}
    monkeypatch.setitem(
        DATASETS, name, dataclasses.replace(spec, split_sizes=small, extra_splits=extra)
    )
    if name == "shapes":
        monkeypatch.setattr(Shapes, "split_sizes", small)


def make_source(monkeypatch: pytest.MonkeyPatch, name: str, root: Path) -> Path | None:
    """Writes the dummy archive of a data set, and has TFDS's own builder take it for the real."""
    make = ARCHIVES[name].make
    source = None if make is None else make(root / "source")
    if name == "oxford_iiit_pet" and source is not None:
        infos = {
            url: tfds.download.checksums.compute_url_info(source / url.rpartition("/")[2])
            for url in tfds.builder_cls(name).url_infos
        }
        monkeypatch.setattr(tfds.builder_cls(name), "url_infos", infos)
    return source


def load(name: str, root: Path, source: Path | None = None, *splits: str) -> PreparedDataset:
    """Opens a data set in the folder `data`, of files if some are given."""
    return load_dataset(
        name,
        data_dir=str(root / "data"),
        source_dir=None if source is None else str(source),
        splits=splits,
    )


def refusal(name: str, root: Path, source: Path | None = None, *splits: str) -> str:
    """The one line with which that fails."""
    with pytest.raises(DeepLabError, match=r"^[^\n]*$") as caught:
        load(name, root, source, *splits)
    return str(caught.value)
