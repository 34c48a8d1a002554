"""Finding and reading the images that `predict` is pointed at."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from deeplab.data.sources.channels import decode_channels
from deeplab.data.sources.open_image import (
    UNREADABLE,
    load_pixels,
    open_image,
    what_is_wrong,
)
from deeplab.data.sources.problems import FileError
from deeplab.data.sources.regular_file import read_bytes
from deeplab.data.sources.source import ARRAY_SUFFIX
from deeplab.errors import DeepLabError

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


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
) -> list[Input]:
    """The images that files, folders and glob patterns name, in order, none twice.

    A folder is searched with all folders below it. A file that is named itself is taken whatever
    its extension. The results of a pattern are named from its first part without a wildcard.

    Args:
        inputs: paths and patterns.
        excluded: a folder that is not searched, the one that results are written to.
        channels: of the images; with more than three, .npy files are images too.

    Raises:
        DeepLabError: if one of the inputs holds no image.
    """
    suffixes = IMAGE_SUFFIXES if channels == 3 else (*IMAGE_SUFFIXES, ARRAY_SUFFIX)
    found: dict[tuple[Path, Path], Input] = {}
    for given in inputs:
        images = list(_images_of(os.fspath(given), excluded, suffixes))
        if not images:
            raise DeepLabError(f"no images in {given}: looked for {', '.join(suffixes)}")
        for image in images:
            found.setdefault((image.path.resolve(), image.relative), image)
    return list(found.values())


def _images_of(text: str, excluded: Path | None, suffixes: Sequence[str]) -> Iterator[Input]:
    path = Path(text)
    # A file may have brackets in its name: what exists is no pattern.
    if path.is_dir():
        yield from _below(path, _walk(path), excluded, suffixes)
    elif path.exists():
        yield Input(path, Path(path.stem))
    elif glob.has_magic(text):
        fixed = _fixed_part(path)
        pattern = str(path.relative_to(fixed))
        names = sorted(map(Path, glob.iglob(pattern, root_dir=fixed, recursive=True)))
        for match in (fixed / name for name in names):
            files = _walk(match) if match.is_dir() else [match]
            yield from _below(fixed, files, excluded, suffixes)
    else:
        raise DeepLabError(f"there is no file or folder {text}")


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, hidden ones left out, in a fixed order."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _below(
    base: Path, files: Iterable[Path], excluded: Path | None, suffixes: Sequence[str]
) -> Iterator[Input]:
    """Those of the files that are images, named from `base`.

    Results in a folder below `base` are no inputs of the next run; if they are to lie among the
    images themselves, there is no folder to leave out.
    """
    if excluded is not None:
        excluded = excluded.resolve()
        if base.resolve() not in excluded.parents:
            excluded = None
    for file in files:
        if file.suffix.lower() in suffixes and (
            excluded is None or excluded not in file.resolve().parents
        ):
            yield Input(file, file.relative_to(base).with_suffix(""))


def _fixed_part(pattern: Path) -> Path:
    """The folders of a pattern before its first wildcard; one that exists has none in its name."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part) and not (fixed / part).is_dir():
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
        DeepLabError: if it is unreadable, truncated, of floating-point numbers, or has more than
            `MAX_PIXELS` pixels.
    """
    try:
        data = read_bytes(Path(path))
        with open_image(data) as file:
            load_pixels(file, data)
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips at 255
                wide = np.clip(np.asarray(image, np.int64), 0, 65535)
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
