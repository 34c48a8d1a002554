"""Groups of images and of classes against counting them anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scored_images import counts_of, random_images, scored

from deeplab.errors import DeepLabError
from deeplab.evaluation.metrics import Tally, confusion_matrix, miou, summarize
from deeplab.evaluation.slices import (
    OTHER,
    by_name,
    by_size,
    check_merged_classes,
    of_merged,
    read_merged_classes,
)

NAMES = ["road", "car", "bus", "tree"]


def test_thirds_by_size():
    images = random_images(9, 4, size=lambda index: (8 + 4 * (index % 5), 16))
    found = by_size(counts_of(images, 4), NAMES)
    # 8, 8, 12, 12, 16, 16, 20, 20, 24 rows; images of one size stay together.
    assert {name: (row["num_images"], row["pixels"]) for name, row in found.items()} == {
        "small": (4, [128, 192]),
        "medium": (2, [256, 256]),
        "large": (3, [320, 384]),
    }
    small = sum(image.counts for image in images if image.labels.shape[0] <= 12)
    assert found["small"]["miou"] == miou(small)
    assert found["small"]["pixel_accuracy"] == np.trace(small) / small.sum()


def test_images_of_one_size_are_one_group():
    found = by_size(counts_of(random_images(5, 4), 4), NAMES)
    assert {name: row["num_images"] for name, row in found.items()} == {"all": 5}


def named(*names: str) -> list:
    return [
        scored(name, image.labels, image.predictions, 4)
        for name, image in zip(names, random_images(len(names), 4), strict=True)
    ]


def test_groups_by_name():
    images = named("val/aachen_1", "val/aachen_2", "val/bremen_1", "extra")
    found = by_name(counts_of(images, 4), NAMES, r"/([a-z]+)_")
    assert {name: row["num_images"] for name, row in found.items()} == {
        "aachen": 2,
        "bremen": 1,
        OTHER: 1,
    }
    assert found["aachen"]["miou"] == miou(images[0].counts + images[1].counts)
    whole = by_name(counts_of(images, 4), NAMES, r"aachen|bremen")
    assert set(whole) == {"aachen", "bremen", OTHER}


def test_patterns_that_are_none_or_found_nowhere():
    counts = counts_of(named("a", "b"), 4)
    with pytest.raises(DeepLabError, match=r"'\(' is no regular expression"):
        by_name(counts, NAMES, "(")
    with pytest.raises(DeepLabError, match="'city' is found in no image id, the first is a"):
        by_name(counts, NAMES, "city")


def test_merged_classes_are_those_of_merged_labels():
    images = random_images(6, 4)
    found = of_merged(counts_of(images, 4), NAMES, {"vehicle": ["car", "bus"]})
    new = np.arange(256)
    new[:4] = [0, 1, 1, 2]
    tally = Tally(3, 255)
    for image in images:
        tally.add(image.image_id, new[image.labels], new[image.predictions])
    expected = summarize(tally, ["road", "vehicle", "tree"])
    assert found["per_class_iou"] == expected["per_class_iou"]
    assert found["confusion_matrix"] == expected["confusion_matrix"]
    assert found["classes"] == {"vehicle": ["car", "bus"]}
    low, high = found["intervals"]["miou"]
    assert low < found["miou"] < high


def test_everything_in_one_class_is_right():
    (image,) = random_images(1, 4)
    found = of_merged(counts_of([image], 4), NAMES, {"all": NAMES})
    assert found["per_class_iou"] == {"all": 1.0}
    assert confusion_matrix(image.labels, image.predictions, 4, 255).sum() == image.counts.sum()


def test_super_categories_of_the_command_line_and_of_files(tmp_path: Path):
    (tmp_path / "merge.json").write_text('{"soft, green": ["tree"]}')
    (tmp_path / "merge.yaml").write_text("flat: [road]\n")
    texts = ["vehicle=car, bus", str(tmp_path / "merge.json"), str(tmp_path / "merge.yaml")]
    assert read_merged_classes(texts) == {
        "vehicle": ["car", "bus"],
        "soft, green": ["tree"],
        "flat": ["road"],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "neither name=class,class nor a file"),
        ("[1, 2]", "must hold names"),
        ("a: b", "must hold names"),
        ("a: [1]", "must hold names"),
        ("{", "neither name=class,class nor a file"),
    ],
)
def test_files_without_super_categories(tmp_path: Path, content: str | None, message: str):
    path = tmp_path / "merge.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DeepLabError, match=message):
        read_merged_classes([str(path)])


@pytest.mark.parametrize(
    ("merged", "message"),
    [
        ({"vehicle": ["car", "train"]}, "unknown class 'train'; choices: road, car"),
        ({"a": ["car"], "b": ["car"]}, "b: 'car' is in another one"),
        ({"tree": ["car", "bus"]}, "'tree' is also a class that is not merged"),
    ],
)
def test_super_categories_that_do_not_fit(merged: dict[str, list[str]], message: str):
    with pytest.raises(DeepLabError, match=message):
        check_merged_classes(merged, NAMES)
    check_merged_classes({"tree": ["tree", "road"]}, NAMES)


def test_a_super_category_is_named_once():
    with pytest.raises(DeepLabError, match="'a' is there twice"):
        read_merged_classes(["a=car", "a=bus"])
