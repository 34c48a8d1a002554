"""The data set `voc_2012` as a TFDS builder, with the SBD-augmented split trainaug.

trainaug is the training set of the DeepLab papers (v3+, section 4): the images of VOC's train and
of SBD's train and val, less those of VOC's val; VOC's own masks where VOC has one, 10,582 in all.

20 classes and the background; stored ids are class ids. Source: M. Everingham et al., The PASCAL
Visual Object Classes Challenge 2012 (VOC2012) Development Kit, section 3.3. The colors are its
color map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import tensorflow_datasets as tfds

from deeplab.data.builders.folder import Folder
from deeplab.data.colors import Color, default_colors
from deeplab.data.sources.classes import ClassList
from deeplab.data.sources.folder import existing_folder, read_names
from deeplab.data.sources.pairs import MissingFiles, Pair, Source, find_files
from deeplab.data.spec import DatasetSpec, FromSource, names
from deeplab.errors import DeepLabError

CLASS_NAMES = names("""
    background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable,
    dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor
""")
COLORS: tuple[Color, ...] = default_colors(len(CLASS_NAMES))

# Images per split. trainaug: Hariharan et al., Semantic contours from inverse detectors, ICCV 2011.
SPLIT_SIZES = {"train": 1464, "trainaug": 10582, "trainval": 2913, "val": 1449}

_LISTS = ("train", "val", "trainval")
_MERGED = "SegmentationClassAug"
# Where the user may have unpacked SBD's archive, relative to folders around VOC.
_SBD_FOLDERS = ("benchmark_RELEASE/dataset", "SBD/benchmark_RELEASE/dataset")


class Voc2012(Folder):
    """Builder of `voc_2012`; features as those of `Folder`. Its splits overlap."""

    name = "voc_2012"
    VERSION = tfds.core.Version("1.0.0")
    description: ClassVar[str] = (
        "PASCAL VOC 2012 segmentation: 2,913 photographs with 20 classes and the background, and "
        "as trainaug 10,582 with the masks of the Semantic Boundaries Dataset."
    )
    citation: ClassVar[str] = """\
@misc{pascal-voc-2012,
  title={The PASCAL Visual Object Classes Challenge 2012 (VOC2012) Results},
  author={Everingham, M. and Van Gool, L. and Williams, C. K. I. and Winn, J. and Zisserman, A.},
  howpublished={http://www.pascal-network.org/challenges/VOC/voc2012/workshop/index.html}}
@inproceedings{hariharan2011semantic,
  title={Semantic contours from inverse detectors},
  author={Hariharan, B. and Arbelaez, P. and Bourdev, L. and Maji, S. and Malik, J.},
  booktitle={ICCV}, year={2011}}
"""
    license: ClassVar[str] = (
        "photographs of Flickr under its terms of use, for research; not part of this package"
    )


def scan_voc(path: Path) -> Source:
    """Reads VOC 2012, and SBD or the folder SegmentationClassAug if one of them is there.

    Args:
        path: VOCdevkit/VOC2012, VOCdevkit, or the folder that holds it. SBD is looked for there
            and in the folders above, up to the one that holds VOCdevkit.

    Raises:
        MissingFiles: if it is not there, or files that its lists name are not.
        DeepLabError: if the lists contradict each other.
    """
    existing_folder(path)
    root = _voc_folder(path)
    lists = root / "ImageSets/Segmentation"
    names = {split: _official_list(lists, split) for split in _LISTS}
    if set(names["trainval"]) != {*names["train"], *names["val"]} or not set(
        names["train"]
    ).isdisjoint(names["val"]):
        raise DeepLabError(
            f"the lists in {lists} contradict each other: trainval must "
            "be train and val together, which have nothing in common"
        )
    images = find_files(root / "JPEGImages", (".jpg",))
    masks = find_files(root / "SegmentationClass", (".png",))
    splits = {split: _pairs(split, names[split], images, masks, root) for split in _LISTS}
    further = _further_masks(path, root)
    if further is not None:
        own, val = set(names["train"]), set(names["val"])
        wanted = sorted(own.union(further.masks).difference(val))
        splits["trainaug"] = _pairs(
            "trainaug",
            wanted,
            {**further.images, **images},
            {**further.masks, **{name: masks[name] for name in names["train"]}},
            further.folder,
        )
    order = [split for split in SPLIT_SIZES if split in splits]
    return Source(root, ClassList(CLASS_NAMES, COLORS), {split: splits[split] for split in order})


class _Further(NamedTuple):
    """Masks of images that VOC itself has no mask of.

    Attributes:
        folder: where they lie.
        masks: name -> file.
        images: name -> file, for images that VOC may not have.
    """

    folder: Path
    masks: Mapping[str, Path]
    images: Mapping[str, Path]


def _voc_folder(path: Path) -> Path:
    for folder in (path, path / "VOC2012", path / "VOCdevkit/VOC2012"):
        if (folder / "ImageSets/Segmentation").is_dir():
            return folder
    raise MissingFiles(f"{path} holds no VOCdevkit/VOC2012/ImageSets/Segmentation")


def _official_list(folder: Path, split: str) -> list[str]:
    file = folder / f"{split}.txt"
    if not file.is_file():
        raise MissingFiles(f"no {file}")
    return read_names(file)


def _further_masks(path: Path, root: Path) -> _Further | None:
    """SegmentationClassAug if there is one, else SBD, else None."""
    merged = root / _MERGED
    if merged.is_dir():
        return _Further(merged, find_files(merged, (".png",)), {})
    # The folders from the one that was named up to the one that holds VOCdevkit.
    around = dict.fromkeys((path, root, root.parent, root.parent.parent))
    for sbd in (folder / place for folder in around for place in _SBD_FOLDERS):
        if sbd.is_dir():
            files = find_files(sbd / "cls", (".mat",))
            listed = [name for part in ("train", "val") for name in _official_list(sbd, part)]
            missing = [name for name in listed if name not in files]
            if missing:
                raise MissingFiles(
                    f"{len(missing)} of {len(listed)} masks of SBD are not there, the first is "
                    f"{sbd / 'cls' / missing[0]}.mat"
                )
            images = find_files(sbd / "img", (".jpg",)) if (sbd / "img").is_dir() else {}
            return _Further(sbd, {name: files[name] for name in listed}, images)
    return None


def _pairs(
    split: str,
    names: Sequence[str],
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    folder: Path,
) -> tuple[Pair, ...]:
    for what, files in (("images", images), ("masks", masks)):
        missing = [name for name in names if name not in files]
        if missing:
            raise MissingFiles(
                f"{len(missing)} of {len(names)} {what} of the split {split} are not in {folder}, "
                f"the first is {missing[0]}"
            )
    return tuple(Pair(name, images[name], masks[name]) for name in names)


SPEC = DatasetSpec(
    name=Voc2012.name,
    make_builder=FromSource(Voc2012, scan_voc),
    class_names=CLASS_NAMES,
    colors=COLORS,
    description=Voc2012.description,
    license=Voc2012.license,
    how_to_get=(
        "unpack VOCtrainval_11-May-2012.tar of http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and "
        "pass --source_dir=DIR, where DIR holds VOCdevkit/VOC2012; for trainaug unpack SBD's "
        "benchmark.tgz beside it"
    ),
    citation=Voc2012.citation,
    split_sizes=SPLIT_SIZES,
    needs_source_dir=True,
    split_hints={
        "trainaug": (
            "unpack benchmark.tgz of the Semantic Boundaries Dataset (benchmark_RELEASE/dataset "
            "with cls/, img/, train.txt, val.txt) beside VOCdevkit, "
            f"or put a merged folder {_MERGED} of index PNGs into VOC2012, and pass --source_dir"
        )
    },
)
