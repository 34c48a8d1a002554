"""Reading source folders: the layout of `folder`, and two folders per split."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from deeplab.data.files.problems import Problem
from deeplab.data.files.text import composed, read_text
from deeplab.data.sources.classes import ClassList, read_classes
from deeplab.data.sources.pairs import (
    LABEL_SUFFIXES,
    SPLIT_NAMES,
    MissingFiles,
    NearMisses,
    Pair,
    Source,
    find_files,
    image_suffixes,
    match_files,
    missing_mask,
    split_by_hash,
    split_names,
    split_order,
    splits_by_name,
)
from deeplab.errors import DeepLabError

LAYOUT = (
    "images/[SPLIT/]NAME.jpg|jpeg|png, labels/[SPLIT/]NAME.png, and classes.json or classes.txt"
)


def existing_folder(path: Path) -> Path:
    """The folder itself.

    Raises:
        MissingFiles: if it is missing, no folder, or empty.
        DeepLabError: if it cannot be read.
    """
    if not os.path.exists(path):  # which takes names that are too long
        raise MissingFiles(f"the source folder {path} does not exist")
    if not path.is_dir():
        raise MissingFiles(f"{path} is not a folder")
    try:
        empty = next(path.iterdir(), None) is None
    except OSError as error:
        raise DeepLabError(f"cannot read {path}: {error.strerror}") from error
    if empty:
        raise MissingFiles(f"the source folder {path} is empty")
    return path


def scan_folder(path: Path) -> Source:
    """Reads `images/`, `labels/`, the class list and the splits of a folder.

    Splits are those of `splits/NAME.txt` (then only images that are listed need a mask), else the
    folders below `images/` if one of them is named as a split, else 90/10 by a hash of the name.
    Their names are taken in lower case. Hidden files are passed over.

    Images and masks without a partner become problems of the source.

    Raises:
        DeepLabError: if a part is missing, or the parts do not fit together.
    """
    existing_folder(path)
    images, labels = path / "images", path / "labels"
    for part in (images, labels):
        if not part.is_dir():
            raise DeepLabError(f"the source folder {path} has no {part.name}/; expected {LAYOUT}")
    classes = read_classes(path)
    if lists := _split_lists(path / "splits"):
        return _listed_source(path, classes, lists)
    return scan_two_folders(path, images, labels, classes)


def scan_two_folders(path: Path, images: Path, labels: Path, classes: ClassList) -> Source:
    """Reads a folder of images and one of masks, which may lie anywhere.

    Splits are the folders below `images` if one of them is named as a split, else 90/10 by a hash
    of the name. Their names are taken in lower case.

    Args:
        path: what the source is called.
        images: folder with .jpg, .jpeg or .png files, or those that more channels need.
        labels: folder with .png files of the same relative paths.
        classes: the class list.

    Raises:
        DeepLabError: if there are no images, or a folder cannot be read.
    """
    pairs, problems = match_files(images, labels, classes.channels)
    by_folder = _folder_splits(pairs, images)
    if by_folder:
        return Source(path, classes, by_folder, problems=problems)
    return Source(path, classes, *split_by_hash(pairs, problems), problems)


def scan_split_folders(
    path: Path,
    classes: ClassList,
    folders: Mapping[str, tuple[Path, Path]],
    stored_ids: Mapping[int, int] | None = None,
) -> Source:
    """Reads a folder of images and one of masks per split.

    Args:
        path: what the source is called.
        classes: the class list, which such a layout does not carry.
        folders: the two of each split.
        stored_ids: as of `Source`.

    Raises:
        DeepLabError: if there are no images, or a folder cannot be read.
    """
    matched = {split: match_files(*both) for split, both in folders.items()}
    splits = {split: pairs for split, (pairs, _) in matched.items() if pairs}
    problems = tuple(problem for _, problems in matched.values() for problem in problems)
    return Source(path, classes, splits, problems=problems, stored_ids=stored_ids)


def _folder_splits(pairs: Sequence[Pair], images: Path) -> dict[str, tuple[Pair, ...]] | None:
    tops = [(pair.id.split("/")[0] if "/" in pair.id else "", pair) for pair in pairs]
    if SPLIT_NAMES.isdisjoint(top.lower() for top, _ in tops):
        return None
    for top, pair in tops:
        if not top:
            raise DeepLabError(
                f"{pair.image} lies beside the split folders of {images}: put it into one of them"
            )
    return splits_by_name(tops, images)


def _split_lists(folder: Path) -> list[Path]:
    try:
        files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DeepLabError(f"cannot read {folder}: {error.strerror}") from error
    lists = sorted(file for file in files if file.suffix == ".txt")
    if files and not lists:
        raise DeepLabError(f"{min(files)} is no split list: write a name per line into SPLIT.txt")
    return lists


def _listed_source(path: Path, classes: ClassList, lists: Sequence[Path]) -> Source:
    suffixes = image_suffixes(classes.channels)
    images = find_files(path / "images", suffixes)
    labels = find_files(path / "labels", LABEL_SUFFIXES)
    splits = {}
    near = NearMisses()
    problems: list[Problem] = []
    used: set[str] = set()
    names = split_names([file.stem for file in lists], path / "splits")
    for file in sorted(lists, key=lambda file: split_order(names[file.stem])):
        pairs = []
        for name in read_names(file):
            # Lists are found with and without the extension of the image.
            key = name
            if key not in images and Path(name).suffix.lower() in suffixes:
                key = Path(name).with_suffix("").as_posix()
            if key not in images:
                choices = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
                hint = near.hint(path / "images" / f"{key}.png")
                detail = f"names {name!r}, but images/ has no {key}{choices}{hint}"
                problems.append(Problem("missing_image", file, detail))
            elif key not in labels:
                why = f"a split needs it, labels/ has no {key}.png"
                expected = path / "labels" / f"{key}.png"
                problems.append(missing_mask(images[key], why, expected, near))
            else:
                pairs.append(Pair(key, images[key], labels[key]))
        used.update(pair.id for pair in pairs)
        if pairs:
            splits[names[file.stem]] = tuple(pairs)
    unused = len(images) - len(used)
    note = f"{unused} of {len(images)} images are in no split list" if unused else ""
    # An image may be in several lists; once is enough to say that it has no mask.
    return Source(path, classes, splits, note, tuple(dict.fromkeys(problems)))


def read_names(file: Path) -> list[str]:
    """The names of a split list, one per line, `composed`.

    Raises:
        DeepLabError: if it cannot be read, is empty, or has a name twice.
    """
    # At line ends alone: names may hold other characters that could end a line.
    lines = composed(read_text(file)).split("\n")
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DeepLabError(f"the split list {file} is empty")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DeepLabError(f"the split list {file} names {name!r} twice")
        seen.add(name)
    return names
