"""Faults planted into a source folder, one function each, with the problems that they are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from image_bytes import empty_png, orientation, save_palette
from PIL import Image
from source_folders import make_folder, random_image, random_mask, save

from deeplab.data import DataConfig
from deeplab.data.checking import check_named
from deeplab.data.checking.result import CheckResult

# What a fault is expected to be found as: kind, file below the source, whether it is an error.
Expected = tuple[str, str, bool]

COLORS = ((0, 0, 0), (128, 0, 0), (0, 128, 0))


def truncated(name: str) -> Callable[[Path], None]:
    def cut(source: Path) -> None:
        data = (source / name).read_bytes()
        (source / name).write_bytes(data[: len(data) // 2])

    return cut


def written(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda source: (source / name).write_bytes(data) and None


def _saved(name: str, pixels: np.ndarray) -> Callable[[Path], None]:
    return lambda source: save(source / name, pixels) and None


def _removed(name: str) -> Callable[[Path], None]:
    return lambda source: (source / name).unlink()


def _palette(name: str, colors: tuple[tuple[int, int, int], ...]) -> Callable[[Path], None]:
    return lambda source: (
        save_palette(source / name, random_mask(24, 32, (0, 1, 2)), colors) and None
    )


def _copied(source: Path) -> None:
    shutil.copy(source / "images/train/p10.png", source / "images/val/q10.png")


def _rotated(source: Path) -> None:
    # Upright it is 32 high and 24 wide.
    image = Image.fromarray(random_image(24, 32, 99))
    image.save(source / "images/train/p14.png", exif=orientation(6))


def _pipe(name: str) -> Callable[[Path], None]:
    def replace(source: Path) -> None:
        (source / name).unlink()
        os.mkfifo(source / name)

    return replace


def _link(name: str, target: str) -> Callable[[Path], None]:
    def replace(source: Path) -> None:
        (source / name).unlink(missing_ok=True)
        (source / name).symlink_to(target)

    return replace


def _jpeg_mask(source: Path) -> None:
    save(source / "mask.jpg", random_mask(24, 32)).replace(source / "labels/train/p15.png")


# Every fault touches files of its own, so that all of them can be planted together.
FAULTS: dict[str, tuple[Callable[[Path], None], list[Expected]]] = {
    "truncated image": (
        truncated("images/train/p00.png"),
        [("unreadable", "images/train/p00.png", True)],
    ),
    "truncated mask": (
        truncated("labels/train/p01.png"),
        [("unreadable", "labels/train/p01.png", True)],
    ),
    "empty mask file": (
        lambda source: (source / "labels/train/p02.png").write_bytes(b"") and None,
        [("unreadable", "labels/train/p02.png", True)],
    ),
    "text as image": (
        written("images/train/p03.png", b"hello"),
        [("unreadable", "images/train/p03.png", True)],
    ),
    "gigapixel image": (
        written("images/train/p04.png", empty_png(40000, 40000)),
        [("unreadable", "images/train/p04.png", True)],
    ),
    "gigapixel mask": (
        written("labels/train/p05.png", empty_png(40000, 40000, 0)),
        [("unreadable", "labels/train/p05.png", True)],
    ),
    "16-bit gray image": (
        _saved("images/train/p06.png", random_mask(24, 32).astype(np.uint16) * 200),
        [("unreadable", "images/train/p06.png", True)],
    ),
    "mask of another size": (
        _saved("labels/train/p07.png", random_mask(32, 24)),
        [("size_mismatch", "labels/train/p07.png", True)],
    ),
    "unknown ids": (
        _saved("labels/train/p08.png", random_mask(24, 32, (0, 1, 7))),
        [("id_out_of_range", "labels/train/p08.png", True)],
    ),
    "mask in other colors": (
        _saved("labels/train/p09.png", random_image(24, 32)),
        [("colour_mask", "labels/train/p09.png", True)],
    ),
    "image in two splits": (
        _copied,
        [("duplicate_across_splits", "images/val/q10.png", True)],
    ),
    "no mask": (
        _removed("labels/train/p11.png"),
        [("missing_mask", "images/train/p11.png", True)],
    ),
    "no image": (
        _removed("images/train/p12.png"),
        [("missing_image", "labels/train/p12.png", True)],
    ),
    "16-bit ids out of range": (
        _saved("labels/train/p13.png", random_mask(24, 32).astype(np.uint16) + 300),
        [("id_out_of_range", "labels/train/p13.png", True)],
    ),
    "turned image": (_rotated, [("size_mismatch", "labels/train/p14.png", True)]),
    "jpeg mask": (_jpeg_mask, [("unreadable", "labels/train/p15.png", True)]),
    "palette": (
        _palette("labels/train/p16.png", ((9, 9, 9), (8, 8, 8), (7, 7, 7))),
        [("palette_mask", "labels/train/p16.png", False)],
    ),
    "mask in class colors": (
        _saved("labels/train/p17.png", np.array(COLORS, np.uint8)[random_mask(24, 32, (0, 1, 2))]),
        [("colour_mask", "labels/train/p17.png", False)],
    ),
    "one class": (
        _saved("labels/train/p18.png", np.full((24, 32), 2, np.uint8)),
        [("single_class", "labels/train/p18.png", False)],
    ),
    "all ignored": (
        _saved("labels/train/p19.png", np.full((24, 32), 255, np.uint8)),
        [("single_class", "labels/train/p19.png", False)],
    ),
    "0 and 255 in one mask": (
        _saved("labels/train/p21.png", random_mask(24, 32, (0, 255))),
        [("single_class", "labels/train/p21.png", False)],
    ),
    "link to nothing as image": (
        _link("images/train/p22.png", "/nowhere/p22.png"),
        [("unreadable", "images/train/p22.png", True)],
    ),
    "link to nothing as mask": (
        _link("labels/train/p23.png", "p24.jpg"),
        [("unreadable", "labels/train/p23.png", True)],
    ),
    "pipe as image": (
        _pipe("images/train/p24.png"),
        [("unreadable", "images/train/p24.png", True)],
    ),
    "device as mask": (
        _link("labels/train/p25.png", "/dev/zero"),
        [("unreadable", "labels/train/p25.png", True)],
    ),
    "both files broken": (
        lambda source: (
            (
                written("images/train/p20.png", b"x")(source),
                _saved("labels/train/p20.png", random_mask(24, 32, (0, 9)))(source),
            )
            and None
        ),
        [
            ("unreadable", "images/train/p20.png", True),
            ("id_out_of_range", "labels/train/p20.png", True),
        ],
    ),
}

# Odd, and right nevertheless.
HARMLESS: dict[str, Callable[[Path], None]] = {
    "gray image": _saved("images/val/q00.png", random_mask(24, 32, range(256), 7)),
    "image with alpha": _saved(
        "images/val/q01.png", np.dstack([random_image(24, 32, 8), random_mask(24, 32)])
    ),
    "16-bit mask": _saved("labels/val/q02.png", random_mask(24, 32, (0, 1, 2)).astype(np.uint16)),
    "few ignored pixels": _saved("labels/val/q03.png", random_mask(24, 32, (0, 1, 255))),
    "a link to the folder above": _link("images/train/loop", ".."),
    "the same image twice in a split": lambda source: (
        shutil.copy(source / "images/val/q04.png", source / "images/val/q05.png") and None
    ),
}


def make_sound(root: Path) -> Path:
    """A source without faults that all of `FAULTS` and `HARMLESS` can be planted into."""
    sizes = {f"train/p{index:02d}": (24, 32) for index in range(26)}
    sizes |= {f"val/q{index:02d}": (24, 32) for index in range(11)}
    source = make_folder(root, sizes)
    content = {"classes": ["background", "cat", "dog"], "colors": COLORS}
    (source / "classes.json").write_text(json.dumps(content))
    return source


def check(source: Path, data_dir: Path) -> CheckResult:
    config = DataConfig(dataset="folder")
    return check_named(config, data_dir=str(data_dir), source_dir=str(source), silent=True)


def found(result: CheckResult, source: Path) -> list[Expected]:
    return sorted(
        (item.kind, item.file.relative_to(source).as_posix(), not item.is_warning)
        for item in result.problems
    )
