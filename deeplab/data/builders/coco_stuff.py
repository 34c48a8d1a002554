"""The data set `coco_stuff` as a TFDS builder: things and stuff of COCO 2017, 171 classes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from deeplab.data.builders.folder import Folder
from deeplab.data.builders.makers import FromSource
from deeplab.data.files.problems import Problem
from deeplab.data.sources.classes import ClassList
from deeplab.data.sources.folder import existing_folder
from deeplab.data.sources.pairs import MissingFiles, Source, match_files
from deeplab.data.spec import DatasetSpec
from deeplab.data.tables.coco_stuff import CLASS_NAMES, COLORS, SPLIT_SIZES, STORED_IDS

# Where people unpack the archives of the images and of the masks, below the source folder.
_IMAGES = ("images", ".")
_MASKS = ("stuffthingmaps", "stuffthingmaps_trainval2017", "annotations")
_FOLDERS = {"train": "train2017", "val": "val2017"}


class CocoStuff(Folder):
    """Builder of `coco_stuff`; features as those of `Folder`."""

    VERSION = tfds.core.Version("1.0.0")
    description: ClassVar[str] = (
        "COCO-Stuff (164k): the 123,287 photographs of COCO 2017, 80 classes of things and 91 of "
        "stuff."
    )
    citation: ClassVar[str] = """\
@inproceedings{caesar2018coco,
  title={{COCO-Stuff}: Thing and Stuff Classes in Context},
  author={Caesar, Holger and Uijlings, Jasper and Ferrari, Vittorio},
  booktitle={CVPR}, year={2018}}
"""
    license: ClassVar[str] = (
        "annotations CC BY 4.0, photographs under Flickr's terms of use; not part of this package"
    )


def scan_coco_stuff(path: Path) -> Source:
    """Reads COCO's folders train2017 and val2017; one of the two is enough.

    Args:
        path: a folder with [images/]train2017/NAME.jpg and stuffthingmaps/train2017/NAME.png.

    Raises:
        MissingFiles: if there is neither, or images are there without masks.
        DeepLabError: if there are no images, or a folder cannot be read.
    """
    existing_folder(path)
    splits = {}
    problems: list[Problem] = []
    for split, folder in _FOLDERS.items():
        images = _first(path, _IMAGES, folder)
        masks = _first(path, _MASKS, folder)
        if images and masks:
            pairs, unpaired = match_files(images, masks)
            problems += unpaired
            if pairs:
                splits[split] = pairs
        elif images or masks:
            there, missing = ("images", "masks") if images else ("masks", "images")
            raise MissingFiles(f"{path} has {there} of {folder}, but no {missing}")
    if not splits and not problems:
        raise MissingFiles(f"{path} holds neither train2017 nor val2017")
    classes = ClassList(CLASS_NAMES, COLORS)
    return Source(path, classes, splits, problems=tuple(problems), stored_ids=STORED_IDS)


def _first(path: Path, places: tuple[str, ...], folder: str) -> Path | None:
    return next((path / p / folder for p in places if (path / p / folder).is_dir()), None)


SPEC = DatasetSpec(
    name=CocoStuff.name,
    make_builder=FromSource(CocoStuff, scan_coco_stuff),
    class_names=CLASS_NAMES,
    colors=COLORS,
    train_split="train",
    eval_split="val",
    description=CocoStuff.description,
    license=CocoStuff.license,
    how_to_get=(
        "unpack train2017.zip and val2017.zip of https://cocodataset.org and "
        "stuffthingmaps_trainval2017.zip of https://github.com/nightrome/cocostuff and pass "
        "--source_dir=DIR with images/train2017, images/val2017, stuffthingmaps/train2017, "
        "stuffthingmaps/val2017"
    ),
    citation=CocoStuff.citation,
    split_sizes=SPLIT_SIZES,
    needs_source_dir=True,
)
