"""Finding the images and videos that `predict` is pointed at."""

from __future__ import annotations

import collections
import dataclasses
import functools
import glob
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from deeplab.data.sources.pairs import ARRAY_SUFFIX, visible_files
from deeplab.errors import DeepLabError
from deeplab.evaluation.prediction.videos import is_video

# Pillow recognizes these and decodes none of them by itself.
_NOT_DECODED = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
# Photographs, which people expect to be read; whether Pillow does depends on how it was built.
_NEED_DECODER = (".avif", ".heic", ".heif", ".jxl")


@dataclasses.dataclass(frozen=True)
class Input:
    """An image file and the name of its results.

    Attributes:
        path: the file.
        relative: its path below the folder that was searched, without extension.
    """

    path: Path
    relative: Path


def find_images(
    inputs: Sequence[str | Path], *, excluded: Path | None = None, channels: int = 3
) -> tuple[list[Input], list[Path]]:
    """The images that files, folders and glob patterns name, in order, none twice.

    A folder is searched with all folders below it, as `visible_files`. A file that is named itself
    is taken whatever its extension. Videos are taken if a pattern ends with their extension: those
    among photographs are not meant. The results of a pattern are named from its first part without
    a wildcard.

    Args:
        inputs: paths and patterns.
        excluded: a folder that is not searched, the one that results are written to.
        channels: of the images; with more than three, .npy files are images too.

    Returns:
        The images, and the other files, which are passed over.

    Raises:
        DeepLabError: if one of the inputs holds no image, or a folder cannot be read.
    """
    # One file that is named does not need the answer, for which Pillow imports all its parts.
    suffixes = functools.cache(partial(_suffixes, channels))
    found: dict[tuple[Path, Path], Input] = {}
    passed_over: dict[Path, None] = {}
    for given in inputs:
        path = Path(given)
        images: list[Input] = []
        others: list[Input] = []
        for file in _files_of(path, excluded):
            suffix = file.path.suffix.lower()
            is_meant = file.path == path or (is_video(path) and suffix == path.suffix.lower())
            is_image = is_meant or suffix in suffixes()
            (images if is_image else others).append(file)
        if not images:
            why = summary([other.path for other in others]) if others else "nothing is there"
            raise DeepLabError(f"no images in {given}: {why}")
        for image in images:
            found.setdefault((image.path.resolve(), image.relative), image)
        passed_over |= {other.path: None for other in others}
    return list(found.values()), list(passed_over)


def _suffixes(channels: int) -> frozenset[str]:
    """The extensions of images."""
    decoded = {
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if kind in Image.OPEN and kind not in _NOT_DECODED
    }
    return frozenset(decoded if channels == 3 else {*decoded, ARRAY_SUFFIX})


def summary(passed_over: Sequence[Path]) -> str:
    """How many files of which kinds were passed over, in one line."""
    kinds = collections.Counter(path.suffix.lower() for path in passed_over)
    parts = [
        f"{kind or 'no extension'} {count}" + (" (no decoder)" if kind in _NEED_DECODER else "")
        for kind, count in kinds.most_common()
    ]
    files = "file" if len(passed_over) == 1 else "files"
    return f"passed over {len(passed_over)} {files}: {', '.join(parts)}"


def _files_of(path: Path, excluded: Path | None) -> Iterator[Input]:
    # A file may have brackets in its name: what exists is no pattern.
    if path.is_dir():
        yield from _below(path, visible_files(path), excluded)
    elif path.exists():
        yield Input(path, Path(path.stem))
    elif glob.has_magic(str(path)):
        fixed = _fixed_part(path)
        pattern = str(path.relative_to(fixed))
        names = sorted(map(Path, glob.iglob(pattern, root_dir=fixed, recursive=True)))
        for match in (fixed / name for name in names):
            files = visible_files(match) if match.is_dir() else [match]
            yield from _below(fixed, files, excluded)
    else:
        raise DeepLabError(f"there is no file or folder {path}")


def _below(base: Path, files: Iterable[Path], excluded: Path | None) -> Iterator[Input]:
    """The files, named from `base`, but for those in the folder that is excluded.

    Results in a folder below `base` are no inputs of the next run; if they are to lie among the
    images themselves, there is no folder to leave out.
    """
    if excluded is not None:
        excluded = excluded.resolve()
        if excluded in (base.resolve(), *base.resolve().parents):
            excluded = None
    for file in files:
        if excluded is None or excluded not in file.resolve().parents:
            yield Input(file, file.relative_to(base).with_suffix(""))


def _fixed_part(pattern: Path) -> Path:
    """The folders of a pattern before its first wildcard; one that exists has none in its name."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part) and not (fixed / part).is_dir():
            break
        fixed /= part
    return fixed
