"""The data set `coco_stuff` as a TFDS builder: things and stuff of COCO 2017, 171 classes.

80 things and 91 stuff classes (COCO-Stuff 164k), of the ids 0..181 that the masks store.

Source: H. Caesar, J. Uijlings, V. Ferrari, COCO-Stuff: Thing and Stuff Classes in Context, CVPR
2018. The masks of stuffthingmaps_trainval2017.zip store COCO's category id - 1; eleven of the
first 91 categories were never annotated.
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

_THINGS = names("""
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
    fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
    bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard,
    sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle,
    wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
    hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
    vase, scissors, teddy bear, hair drier, toothbrush
""")
_STUFF = names("""
    banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
    ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff,
    dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower,
    fog, food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves,
    light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow,
    plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug,
    salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
    structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete,
    wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind,
    window-other, wood
""")
# Stored ids of street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender and
# hair brush, which no mask holds.
_NEVER_ANNOTATED = frozenset({11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90})
_UNLABELED = 255

CLASS_NAMES = _THINGS + _STUFF
COLORS: tuple[Color, ...] = default_colors(len(CLASS_NAMES) + 1)[1:]
STORED_IDS = {
    _UNLABELED: 255,
    **{
        stored: class_id
        for class_id, stored in enumerate(i for i in range(182) if i not in _NEVER_ANNOTATED)
    },
}

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
    folders = {}
    for split, folder in _FOLDERS.items():
        images = _first(path, _IMAGES, folder)
        masks = _first(path, _MASKS, folder)
        if images and masks:
            folders[split] = images, masks
        elif images or masks:
            there, missing = ("images", "masks") if images else ("masks", "images")
            raise MissingFiles(f"{path} has {there} of {folder}, but no {missing}")
    if not folders:
        raise MissingFiles(f"{path} holds neither train2017 nor val2017")
    return scan_split_folders(path, ClassList(CLASS_NAMES, COLORS), folders, STORED_IDS)


def _first(path: Path, places: tuple[str, ...], folder: str) -> Path | None:
    return next((path / p / folder for p in places if (path / p / folder).is_dir()), None)


SPEC = DatasetSpec(
    name=CocoStuff.name,
    make_builder=FromSource(CocoStuff, scan_coco_stuff),
    class_names=CLASS_NAMES,
    colors=COLORS,
    description=CocoStuff.description,
    license=CocoStuff.license,
    how_to_get=(
        "unpack train2017.zip and val2017.zip of https://cocodataset.org and "
        "stuffthingmaps_trainval2017.zip of https://github.com/nightrome/cocostuff and pass "
        "--source_dir=DIR with images/train2017, images/val2017, stuffthingmaps/train2017, "
        "stuffthingmaps/val2017"
    ),
    citation=CocoStuff.citation,
    split_sizes={"train": 118287, "val": 5000},
    needs_source_dir=True,
)
