"""When the colors of a mask are its classes, and when its indices."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from broken_folders import COLORS, check, make_sound
from image_bytes import save_palette
from source_folders import labels_of, load, random_mask, refused, save

from deeplab.data.colors import default_colors


def assert_read_as(mask: np.ndarray, source: Path, tmp_path: Path) -> None:
    """The mask of val/q00 is stored with these ids."""
    labels = labels_of(load(source, tmp_path / "data"), "val")
    np.testing.assert_array_equal(labels["val/q00"], mask)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "palette", "shuffled palette"])
def test_masks_in_class_colors_are_converted_by_color(mode: str, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    mask = random_mask(24, 32, (0, 1, 2, 255))
    colors = np.zeros((256, 3), np.uint8)
    colors[[0, 1, 2, 255]] = [*COLORS, (224, 224, 192)]
    path = source / "labels/val/q00.png"
    if mode == "RGB":
        save(path, colors[mask])
    elif mode == "RGBA":
        save(path, np.dstack([colors[mask], np.full((24, 32), 9, np.uint8)]))
    else:
        order = np.arange(256)
        if mode.startswith("shuffled"):
            order[[0, 1, 2]] = [2, 0, 1]
        inverse = np.argsort(order).astype(np.uint8)
        save_palette(path, inverse[mask], tuple(map(tuple, colors[order].tolist())))
    result = check(source, tmp_path / "data")
    (problem,) = result.problems
    assert result.ok and ("disagree" in problem.detail) == mode.startswith("shuffled")
    assert_read_as(mask, source, tmp_path)


@pytest.mark.parametrize(
    ("ids", "palette"),
    [
        ((0, 1, 2), (COLORS[0], COLORS[1], (1, 2, 3))),  # where both agree but for one color
        ((0, 1, 2), ((9, 9, 9), (8, 8, 8), (1, 2, 3))),
        ((0, 2), (COLORS[0], COLORS[0], (1, 2, 3))),  # the color that disagrees is not used
        ((0, 1, 2, 255), (*COLORS[:2], *[(7, 7, 7)] * 253, (224, 224, 192))),
    ],
)
def test_one_other_color_and_the_palettes_indices_count(
    ids: tuple[int, ...], palette: tuple[tuple[int, int, int], ...], tmp_path: Path
) -> None:
    source = make_sound(tmp_path / "source")
    mask = random_mask(24, 32, ids)
    save_palette(source / "labels/val/q00.png", mask, palette)
    (problem,) = check(source, tmp_path / "data").problems
    assert "its indices are the class ids" in problem.detail
    assert_read_as(mask, source, tmp_path)


@pytest.mark.parametrize(
    ("ids", "palette", "message"),
    [
        (
            (0, 1, 2),
            (COLORS[1], COLORS[0], (1, 2, 3)),
            r"index 0, \(128, 0, 0\), is that of class 1, but the colors \(1, 2, 3\) are no",
        ),
        ((1, 2), ((1, 1, 1), (224, 224, 192), (1, 2, 3)), "index 1, .* is that of class 255"),
        ((1, 2, 255), (*[(1, 2, 3)] * 255, COLORS[2]), r"index 255, \(0, 128, 0\), .* class 2"),
    ],
)
def test_a_palette_that_can_be_read_in_two_ways_is_refused(
    ids: tuple[int, ...],
    palette: tuple[tuple[int, int, int], ...],
    message: str,
    tmp_path: Path,
) -> None:
    source = make_sound(tmp_path / "source")
    mask = random_mask(24, 32, ids)
    save_palette(source / "labels/val/q00.png", mask, palette)
    (problem,) = check(source, tmp_path / "data").problems
    assert (problem.kind, problem.is_warning) == ("colour_mask", False)
    assert re.search(message, problem.detail) and 'remove "colors"' in problem.detail
    refused(source, tmp_path, r"the mask .*q00\.png has a palette whose colors")
    # Without colors of classes there is one way.
    (source / "classes.json").write_text('{"classes": ["background", "cat", "dog"]}')
    assert_read_as(mask, source, tmp_path)


@pytest.mark.parametrize("with_colors", [False, True])
def test_masks_with_the_palette_of_pascal_are_read_by_index(
    with_colors: bool, tmp_path: Path
) -> None:
    source = make_sound(tmp_path / "source")
    names = [f"class {index}" for index in range(21)]
    content = {"classes": names} | ({"colors": default_colors(21)} if with_colors else {})
    (source / "classes.json").write_text(json.dumps(content))
    mask = random_mask(24, 32, (*range(21), 255))
    save_palette(source / "labels/val/q00.png", mask, default_colors(256))
    (problem,) = check(source, tmp_path / "data").problems
    assert problem.kind == "palette_mask" and problem.is_warning
    assert_read_as(mask, source, tmp_path)


def test_a_color_of_two_classes_is_neither(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    content = {"classes": ["a", "b", "c"], "colors": [[0, 0, 0], [5, 5, 5], [5, 5, 5]]}
    (source / "classes.json").write_text(json.dumps(content))
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[0] = 5
    pixels[1] = (0, 0, 1)
    save(source / "labels/val/q00.png", pixels)
    (problem,) = check(source, tmp_path / "data").problems
    assert not problem.is_warning and "(0, 0, 1), (5, 5, 5)" in problem.detail
