"""The data set `ade20k` as a TFDS builder: the scene parsing benchmark, 150 classes.

The masks store class id + 1, and 0 for others.

Source: B. Zhou et al., Scene Parsing through ADE20K Dataset, CVPR 2017; the first name of each line
of its objectInfo150.txt.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from deeplab.data.builders.folder import Folder
from deeplab.data.colors import Color, default_colors
from deeplab.data.sources.classes import ClassList
from deeplab.data.sources.folder import existing_folder, scan_split_folders
from deeplab.data.sources.pairs import MissingFiles, Source
from deeplab.data.spec import DatasetSpec, FromSource, names

CLASS_NAMES = names("""
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk,
    person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf,
    house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub,
    railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, sink,
    skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
    screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill,
    bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar,
    arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth,
    television receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman,
    bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
    swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food,
    step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket,
    sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate,
    monitor, bulletin board, shower, radiator, glass, clock, flag
""")
# The first color of the map is black, and stays what is not a class.
COLORS: tuple[Color, ...] = default_colors(len(CLASS_NAMES) + 1)[1:]
# 0 is no class; the masks hold nothing above 150.
STORED_IDS = {0: 255, **{class_id + 1: class_id for class_id in range(len(CLASS_NAMES))}}

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
    folders = {}
    for split, folder in _FOLDERS.items():
        for part in ("images", "annotations"):
            if not (root / part / folder).is_dir():
                raise MissingFiles(f"{root} has no {part}/{folder}")
        folders[split] = root / "images" / folder, root / "annotations" / folder
    return scan_split_folders(root, ClassList(CLASS_NAMES, COLORS), folders, STORED_IDS)


SPEC = DatasetSpec(
    name=Ade20k.name,
    make_builder=FromSource(Ade20k, scan_ade20k),
    class_names=CLASS_NAMES,
    colors=COLORS,
    description=Ade20k.description,
    license=Ade20k.license,
    how_to_get=(
        "unpack ADEChallengeData2016.zip of http://sceneparsing.csail.mit.edu/ and pass "
        "--source_dir=DIR, where DIR holds ADEChallengeData2016/images and annotations"
    ),
    citation=Ade20k.citation,
    split_sizes={"train": 20210, "val": 2000},
    needs_source_dir=True,
)
