"""Finding and reading the images that `predict` is pointed at."""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from deeplab.data.files.channels import decode_channels
from deeplab.data.files.opening import (
    UNREADABLE,
    load_pixels,
    open_image,
    what_is_wrong,
)
from deeplab.data.files.problems import FileError
from deeplab.data.files.regular_file import read_bytes
from deeplab.data.sources.pairs import ARRAY_SUFFIX, visible_files
from deeplab.errors import DeepLabError

# Pillow recognizes these and decodes none of them by itself.
_NOT_DECODED = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
# Photographs, which people expect to be read; whether Pillow does depends on how it was built.
_NEED_DECODER = (".avif", ".heic", ".heif", ".jxl")

# Images of 10, 12 or 14 bits lie in 16 bits as they are, and would be almost black.
_TOP_OF_14_BITS = 2**14 - 1


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
    is taken whatever its extension. The results of a pattern are named from its first part without
    a wildcard.

    Args:
        inputs: paths and patterns; `~` is the home folder.
        excluded: a folder that is not searched, the one that results are written to.
        channels: of the images; with more than three, .npy files are images too.

    Returns:
        The images, and the other files, which are passed over.

    Raises:
        DeepLabError: if one of the inputs holds no image, or a folder cannot be read.
    """
    suffixes = {
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if kind in Image.OPEN and kind not in _NOT_DECODED
    }
    if channels != 3:
        suffixes.add(ARRAY_SUFFIX)
    found: dict[tuple[Path, Path], Input] = {}
    passed_over: dict[Path, None] = {}
    for given in inputs:
        path = Path(os.path.expanduser(given))
        images: list[Input] = []
        others: list[Input] = []
        for file in _files_of(path, excluded):
            is_image = file.path == path or file.path.suffix.lower() in suffixes
            (images if is_image else others).append(file)
        if not images:
            why = summary([other.path for other in others]) if others else "nothing is there"
            raise DeepLabError(f"no images in {given}: {why}")
        for image in images:
            found.setdefault((image.path.resolve(), image.relative), image)
        passed_over |= {other.path: None for other in others}
    return list(found.values()), list(passed_over)


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
        for match in sorted(map(Path, glob.iglob(str(path), recursive=True))):
            files = visible_files(match) if match.is_dir() else [match]
            yield from _below(_fixed_part(path), files, excluded)
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
    """The folders of a pattern before its first wildcard."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def read_pixels(path: str | Path, channels: int) -> npt.NDArray[np.uint8]:
    """Reads an image for a network of so many channels, uint8 [H, W, channels].

    With three channels as `read_rgb`, with more as `decode_channels`.

    Raises:
        DeepLabError: as these; the message does not name the file.
    """
    if channels == 3:
        return read_rgb(path)
    try:
        return decode_channels(read_bytes(Path(path)), Path(path), channels)
    except FileError as error:
        raise DeepLabError(error.problem.detail) from error
    except OSError as error:
        raise DeepLabError(str(error)) from error


def read_rgb(path: str | Path) -> npt.NDArray[np.uint8]:
    """Reads an image as people see it, uint8 [H, W, 3].

    The orientation of EXIF is applied; grey, palette and CMYK images are converted, transparency
    is dropped, 16 bits a channel become 8, and of an animation the first picture counts.

    Raises:
        DeepLabError: if it is unreadable, truncated, of floating-point numbers, of 16 bits in grey
            of which the upper two are not used, or has more than `MAX_PIXELS` pixels.
    """
    try:
        data = read_bytes(Path(path))
        with open_image(data) as file:
            load_pixels(file, data)
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips at 255
                wide = np.clip(np.asarray(image, np.int64), 0, 65535)
                if 0 < (top := wide.max()) <= _TOP_OF_14_BITS:
                    raise DeepLabError(
                        f"it has 16 bits a channel, but no level above {top} of 65535: what is "
                        "white in it is not known; convert it to 8 bits"
                    )
                image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
            elif image.mode == "F":
                raise DeepLabError(
                    "its pixels are floating-point numbers, whose white is not known"
                )
            elif image.mode == "P":
                # Straight to RGB, Pillow warns about palettes with transparency.
                image = image.convert("RGBA")
            return np.asarray(image.convert("RGB"))
    except DeepLabError:
        raise
    except UNREADABLE as error:
        raise DeepLabError(what_is_wrong(error)) from error
