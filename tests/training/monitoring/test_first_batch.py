"""The report of the first batch: histogram, warnings, picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from deeplab.data.colors import default_colors
from deeplab.evaluation.panels import Entry, legend, sheet
from deeplab.training.monitoring import first_batch


@dataclasses.dataclass(frozen=True)
class Classes:
    """What the report needs of a data set."""

    class_names: tuple[str, ...] = ("background", "cat", "dog")
    colors: tuple[tuple[int, int, int], ...] = ((0, 0, 0), (200, 0, 0), (0, 200, 0))
    ignore_label: int = 255


def labels(*columns: tuple[int, int]) -> np.ndarray:
    """One label image of 10x20 from (id, number of columns)."""
    row = [index for index, count in columns for _ in range(count)]
    return np.tile(np.array(row, np.int32), (1, 10, 1))


def test_shares_are_of_the_labeled_pixels() -> None:
    lines = list(first_batch.describe_batch(labels((0, 12), (1, 4), (255, 4)), Classes()))
    assert lines == [
        "first batch: 1 crops of 10x20",
        "  background   75.00%",
        "  cat          25.00%",
        "  ignored, padding included: 20.00% of all pixels",
        "  not in this batch: dog",
    ]


def test_many_and_long_names_stay_in_eighty_columns() -> None:
    names = tuple(f"class {index} {'x' * 70}" for index in range(150))
    classes = Classes(names, default_colors(150))
    batch = np.arange(75, dtype=np.int32).repeat(8).reshape(1, 20, 30)
    lines = list(first_batch.describe_batch(batch, classes))
    assert max(map(len, lines)) <= 80
    assert "  63 more classes, 84.00% together" in lines
    short = Classes(tuple(f"c{index}" for index in range(150)), default_colors(150))
    assert list(first_batch.describe_batch(batch, short))[-1].endswith("c83, 66 more")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (labels((255, 20)), "label 255"),
        (labels((1, 8), (255, 12)), "'cat'"),
        (labels((1, 8), (2, 12)), None),
    ],
)
def test_warnings(batch: np.ndarray, message: str | None) -> None:
    complaint = first_batch.what_is_odd(batch, Classes())
    assert complaint is None if message is None else message in (complaint or "")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_picture_shows_images_labels_and_legend(channels: int) -> None:
    images = np.full((1, 160, 200, channels), 100.0, np.float32)
    batch = np.repeat(labels((1, 10), (255, 10)), 10, axis=2).repeat(16, axis=1)
    picture = first_batch.draw_batch(images, batch, Classes())
    # A margin of 6 around everything, 18 for a line of text.
    assert picture.shape == (18 + 6 + 160 + 6 + 18 + 6, 6 + 2 * 206, 3)
    assert picture[104, 106].tolist() == [100, 100, 100]
    assert picture[104, 262].tolist() == [150, 50, 50]  # half image, half red
    pixels = {tuple(pixel) for pixel in picture[190:].reshape(-1, 3)}
    assert {(200, 0, 0), (224, 224, 192)} <= pixels  # swatches of cat and ignored
    assert (0, 200, 0) not in pixels  # there is no dog


def test_legend_is_ordered_by_frequency() -> None:
    entries = legend([labels((2, 12), (1, 6), (255, 2))], *dataclasses.astuple(Classes()))
    assert [entry.name for entry in entries] == ["dog", "cat", "ignored"]


def test_legend_wraps_and_small_pictures_grow() -> None:
    entries = [Entry(f"a class of number {index}", (0, 0, 255)) for index in range(9)]
    small = np.zeros((20, 30, 3), np.uint8)
    picture = sheet([[small], [small]], ["image"], entries)
    assert picture.shape[1] == 6 + 180 + 6
    assert picture.shape[0] == 24 + 2 * (120 + 6) + 9 * 18 + 6
