"""What a source of images and masks holds: pairs, splits, classes, and a fingerprint of it all."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from deeplab.data.files.opening import reading, state_of
from deeplab.data.files.problems import FileError, Problem
from deeplab.data.files.text import composed, is_utf8
from deeplab.data.sources.classes import ClassList
from deeplab.errors import DeepLabError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
ARRAY_SUFFIX = ".npy"
LABEL_SUFFIXES = (".png",)

# Names that mean the same split, the usual one first.
_SYNONYMS = (("train", "training"), ("val", "validation"), ("test", "testing"))
TRAINING = _SYNONYMS[0][0]
SPLIT_NAMES = frozenset(name for names in _SYNONYMS for name in names)

# Share of the images that become the evaluation split when the source does not say.
_VAL_SHARE = 0.1

# Where the name of an image may end in that of a file that belongs to it.
_END_OF_NAME = re.compile(r"\.|[_-](?=mask|label|seg|gt|anno)", re.IGNORECASE)


class MissingFiles(DeepLabError):
    """Raw files are not where they should be: the user needs to be told how to get them."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its mask.

    Attributes:
        id: names the image wherever it is spoken of; unique within a split.
        image: path of the image.
        label: path of the mask: PNG, or a .mat file of the Semantic Boundaries Dataset.
    """

    id: str
    image: Path
    label: Path


@dataclasses.dataclass(frozen=True)
class Source:
    """Raw files that a data set is prepared from. They are only ever read.

    Attributes:
        path: the folder or list that the user named.
        classes: its class list.
        splits: at least one split, none empty, unless there are problems.
        note: what the user should be told about how it was read, or "".
        problems: images and masks that have no partner; nothing is prepared while there are any.
        stored_ids: class id, or the ignored one, of each id that a mask may hold; None: they are
            class ids already.
    """

    path: Path
    classes: ClassList
    splits: Mapping[str, tuple[Pair, ...]]
    note: str = ""
    problems: tuple[Problem, ...] = ()
    stored_ids: Mapping[int, int] | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Images per split."""
        return {split: len(pairs) for split, pairs in self.splits.items()}

    def fingerprint(self) -> str:
        """A key of the class list, the splits and every file's path, size and time.

        A repaired mask gives another key, so that the old prepared copy is never used again.

        Raises:
            FileError: if a file is not there, or no regular file.
        """
        classes = self.classes
        key = [classes.names, classes.colors, classes.ignore]
        if classes.channels != 3:  # so that copies made before there was a choice are found
            key.append(classes.channels)
        digest = hashlib.sha256(json.dumps(key).encode())
        if self.stored_ids is not None:
            digest.update(json.dumps(sorted(self.stored_ids.items())).encode())
        base = self.path if self.path.is_dir() else self.path.parent
        for split, pairs in self.splits.items():
            for pair in pairs:
                row = [split, pair.id]
                for file in (pair.image, pair.label):
                    with reading("the file", file):
                        state = state_of(file)
                    row += [
                        os.path.relpath(file, base),
                        str(state.st_size),
                        str(state.st_mtime_ns),
                    ]
                digest.update(json.dumps(row).encode())
        return digest.hexdigest()[:20]


def image_suffixes(channels: int) -> tuple[str, ...]:
    """What the names of images of so many channels may end in."""
    return IMAGE_SUFFIXES if channels == 3 else (*IMAGE_SUFFIXES, ARRAY_SUFFIX)


def visible_files(folder: Path) -> Iterator[Path]:
    """All files below a folder in a fixed order, and below the folders that it links to.

    Hidden files and folders are passed over, and links to folders that they lie in. What is found
    may be no regular file.

    Raises:
        DeepLabError: if a folder is unreadable.
    """

    def fail(error: OSError) -> None:
        raise DeepLabError(f"cannot read {error.filename}: {error.strerror}") from error

    above = {os.fspath(folder): frozenset({os.path.realpath(folder)})}
    for place, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        around = above.pop(place)
        inner = {
            name: os.path.realpath(os.path.join(place, name))
            for name in sorted(folders)
            if not name.startswith(".")
        }
        folders[:] = [name for name, real in inner.items() if real not in around]
        for name in folders:
            above[os.path.join(place, name)] = around | {inner[name]}
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def find_files(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Files below a folder by their relative path without extension, `composed`, in that order.

    Of `visible_files`, those with one of the suffixes.

    Raises:
        DeepLabError: if the folder is missing or unreadable, if two files differ in the
            extension only, or if a name is not UTF-8.
    """
    if not folder.is_dir():
        raise DeepLabError(f"no folder {folder}")
    found: dict[str, Path] = {}
    for path in visible_files(folder):
        if path.suffix.lower() not in suffixes:
            continue
        key = composed(path.relative_to(folder).with_suffix("").as_posix())
        if not is_utf8(key):
            raise DeepLabError(f"the file name {os.fsencode(path)!r} is not UTF-8: rename it")
        if key in found:
            raise DeepLabError(
                f"{found[key]} and {path} have the same name without extension: if one is the "
                "mask of the other, move all masks into a folder of their own; else rename one"
            )
        found[key] = path
    return dict(sorted(found.items()))


def match_files(
    images: Path, labels: Path, channels: int = 3
) -> tuple[tuple[Pair, ...], tuple[Problem, ...]]:
    """Pairs the images and masks of two folders by relative path without extension.

    Args:
        images: folder with the images.
        labels: folder with the masks.
        channels: of the images, which decide about their extensions.

    Returns:
        The pairs, and a problem for each image without a mask and each mask without an image.

    Raises:
        DeepLabError: if there are no images, or a folder cannot be read.
    """
    suffixes = image_suffixes(channels)
    image_files = find_files(images, suffixes)
    label_files = find_files(labels, LABEL_SUFFIXES)
    if not image_files:
        raise DeepLabError(f"no images in {images} ({', '.join(suffixes)})")
    near = NearMisses()
    problems = [
        missing_mask(path, f"expected {labels / key}.png", labels / f"{key}.png", near)
        for key, path in image_files.items()
        if key not in label_files
    ]
    problems += [
        Problem(
            "missing_image",
            path,
            f"has no image: expected {images / key} with {', '.join(suffixes)}"
            + near.hint(images / f"{key}.png"),
        )
        for key, path in label_files.items()
        if key not in image_files
    ]
    pairs = [
        Pair(key, path, label_files[key]) for key, path in image_files.items() if key in label_files
    ]
    return tuple(pairs), tuple(problems)


class NearMisses:
    """Looks for files of almost the expected name: NAME.jpg.png, NAME_mask.png, NAME.tif.

    Such a file is never taken for the one that is missing; the message says what to do with it. A
    folder is read once, and only if needed.
    """

    def __init__(self) -> None:
        """Has read no folder yet."""
        self._files_of = functools.cache(_files_of)

    def hint(self, expected: Path, image: Path | None = None) -> str:
        """What is there in place of a file and what to do with it, or "".

        Args:
            expected: the file that is not there.
            image: in whose folder a mask may lie as well; None: an image is expected. An array is
                none unless classes.json says so.
        """
        for place in (expected, image):
            if place is None:
                continue
            for file in self._files_of(place.parent).get(composed(expected.stem).casefold(), ()):
                if file != image and (image or file.suffix.lower() != ".npy"):
                    return f"; {file} is there: {_advice(file, expected)}"
        return ""


def _files_of(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder that may belong to a name, by that name in lower case."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    found: dict[str, list[Path]] = {}
    for name in names:
        key = composed(name).casefold()
        for end in _END_OF_NAME.finditer(key):
            found.setdefault(key[: end.start()], []).append(folder / name)
    return found


def _advice(file: Path, expected: Path) -> str:
    if file.suffix.lower() == ".json":
        return "polygons, as of labelme, are drawn into an index mask by their own tool"
    if file.suffix.lower() == expected.suffix:
        return f"rename it {expected.name}"
    return f"save it as {expected.name}, with the same values"


def missing_mask(image: Path, why: str, expected: Path, near: NearMisses) -> Problem:
    """That an image has no mask, why, and what lies there instead of the expected one."""
    return Problem("missing_mask", image, f"has no mask: {why}{near.hint(expected, image)}")


def check_sizes(pair: Pair, image: Sequence[int], label: Sequence[int]) -> None:
    """Compares the sizes of an image, upright, and its mask, (height, width) in pixels.

    Raises:
        FileError: if they differ.
    """
    if tuple(image) != tuple(label):
        turned = tuple(image) == tuple(reversed(label))
        advice = "; if EXIF turns one of them, turn the other too" if turned else ""
        size = f"{label[1]}x{label[0]}"
        expected = f"{image[1]}x{image[0]}"
        raise FileError(
            Problem(
                "size_mismatch",
                pair.label,
                f"is {size} (width x height), its image {pair.image.name} is {expected}{advice}",
            ),
            f"the image {pair.image} is {expected} (width x height), its mask {pair.label} is "
            f"{size}: they must be equal{advice}",
        )


def split_by_hash(
    pairs: Sequence[Pair], problems: Sequence[Problem] = (), lacking: str = "split folders or lists"
) -> tuple[dict[str, tuple[Pair, ...]], str]:
    """Splits 90/10 by a hash of the id: the same whatever else is in the folder.

    Args:
        pairs: what is to be split.
        problems: of the source; if there are any, too few pairs are not refused, but "train".
        lacking: what could have named the splits, for the messages.

    Returns:
        "train" and "val", at least one image in each, and a note that says so.

    Raises:
        DeepLabError: if there are fewer than two images.
    """
    if problems and len(pairs) < 2:  # nothing is prepared anyway
        return {"train": tuple(pairs)} if pairs else {}, ""
    by_share = sorted(pairs, key=lambda pair: _share(pair.id))
    if len(by_share) < 2:
        raise DeepLabError(
            f"{len(by_share)} image cannot be split into training and validation: add images, or "
            f"say with {lacking} what it is for"
        )
    count = sum(_share(pair.id) < _VAL_SHARE for pair in by_share)
    count = min(max(count, 1), len(by_share) - 1)
    val = sorted(by_share[:count], key=lambda pair: pair.id)
    train = sorted(by_share[count:], key=lambda pair: pair.id)
    note = (
        f"no {lacking}: {len(train)} images for training and {len(val)} for "
        "validation, by a hash of the name"
    )
    return {"train": tuple(train), "val": tuple(val)}, note


def splits_by_name(pairs: Iterable[tuple[str, Pair]], where: Path) -> dict[str, tuple[Pair, ...]]:
    """Splits by name, in `split_order`.

    Args:
        pairs: each behind the name of its split, as somebody spelt it.
        where: the folder or list, for the message.

    Raises:
        DeepLabError: as `split_names`.
    """
    groups: dict[str, list[Pair]] = {}
    for split, pair in pairs:
        groups.setdefault(split, []).append(pair)
    splits = {name: tuple(groups[split]) for split, name in split_names(groups, where).items()}
    return {split: splits[split] for split in sorted(splits, key=split_order)}


def split_order(name: str) -> tuple[int, str]:
    """Sort key: training, validation, test, then the others by name."""
    for position, names in enumerate(_SYNONYMS):
        if name in names:
            return position, name
    return len(_SYNONYMS), name


def find_split(name: str, splits: Iterable[str]) -> str | None:
    """The split of that name, or of one that means the same ("val", "validation" and "Val")."""
    available = tuple(splits)
    if name in available:
        return name
    lower = name.lower()
    names = next((names for names in _SYNONYMS if lower in names), (lower,))
    return next((other for other in names if other in available), None)


def split_names(found: Iterable[str], where: Path) -> dict[str, str]:
    """What splits are called, in lower case, by the names that were found.

    Args:
        found: names as somebody spelt them.
        where: the folder or list, for the message.

    Raises:
        DeepLabError: if one has other characters than letters, digits, "_", or is "all", or if
            two differ in case only.
    """
    names: dict[str, str] = {}
    spelt: dict[str, str] = {}
    for name in found:
        lower = name.lower()
        if not name.isascii() or not name.replace("_", "a").isalnum() or lower == "all":
            raise DeepLabError(
                f"{where}: {name!r} cannot name a split: letters, digits and _ only, and not 'all'"
            )
        if spelt.setdefault(lower, name) != name:
            raise DeepLabError(
                f"{where}: {spelt[lower]!r} and {name!r} name the same split: choose one spelling"
            )
        names[name] = lower
    return names


def _share(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48
