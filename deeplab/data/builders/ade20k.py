"""The data set `ade20k` as a TFDS builder: the scene parsing benchmark, 150 classes."""

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
from deeplab.data.tables.ade20k import CLASS_NAMES, COLORS, SPLIT_SIZES, STORED_IDS

_ARCHIVE = "ADEChallengeData2016"
_FOLDERS = {"train": "training", "val": "validation"}


class Ade20k(Folder):
    """Builder of `ade20k`; features as those of `Folder`."""

    VERSION = tfds.core.Version("1.0.0")
    description: ClassVar[str] = (
        "ADE20K, the scene parsing benchmark: 22,210 photographs of indoor and outdoor scenes, 150 "
        "classes; pixels of other things are ignored."
    )
    citation: ClassVar[str] = """\
@inproceedings{zhou2017scene,
  title={Scene Parsing through {ADE20K} Dataset},
  author={Zhou, Bolei and Zhao, Hang and Puig, Xavier and Fidler, Sanja and Barriuso, Adela and
    Torralba, Antonio},
  booktitle={CVPR}, year={2017}}
"""
    license: ClassVar[str] = (
        "images for non-commercial research and education only, annotations BSD-3-Clause; not part "
        "of this package"
    )


def scan_ade20k(path: Path) -> Source:
    """Reads the archive's layout: images/ and annotations/, each with training/ and validation/.

    Args:
        path: ADEChallengeData2016, or the folder that holds it.

    Raises:
        MissingFiles: if it is not there.
        DeepLabError: if there are no images, or a folder cannot be read.
    """
    existing_folder(path)
    root = next((p for p in (path, path / _ARCHIVE) if (p / "annotations").is_dir()), None)
    if root is None:
        raise MissingFiles(f"{path} holds no {_ARCHIVE}/annotations")
    splits = {}
    problems: list[Problem] = []
    for split, folder in _FOLDERS.items():
        for part in ("images", "annotations"):
            if not (root / part / folder).is_dir():
                raise MissingFiles(f"{root} has no {part}/{folder}")
        pairs, unpaired = match_files(root / "images" / folder, root / "annotations" / folder)
        problems += unpaired
        if pairs:
            splits[split] = pairs
    classes = ClassList(CLASS_NAMES, COLORS)
    return Source(root, classes, splits, problems=tuple(problems), stored_ids=STORED_IDS)


SPEC = DatasetSpec(
    name=Ade20k.name,
    make_builder=FromSource(Ade20k, scan_ade20k),
    class_names=CLASS_NAMES,
    colors=COLORS,
    train_split="train",
    eval_split="val",
    description=Ade20k.description,
    license=Ade20k.license,
    how_to_get=(
        "unpack ADEChallengeData2016.zip of http://sceneparsing.csail.mit.edu/ and pass "
        "--source_dir=DIR, where DIR holds ADEChallengeData2016/images and annotations"
    ),
    citation=Ade20k.citation,
    split_sizes=SPLIT_SIZES,
    needs_source_dir=True,
)
