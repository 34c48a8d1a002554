"""Two evaluations side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scored_images import counts_of, random_images

from deeplab.errors import DeepLabError
from deeplab.evaluation.comparison import compared
from deeplab.evaluation.examples import Scored
from deeplab.evaluation.metrics import rates_of
from deeplab.evaluation.per_image import PerImage
from deeplab.evaluation.result_files import Result, read_result, write_result
from deeplab.evaluation.table import render_table

NAMES = ["a", "b", "c", "never"]


def evaluated(images: list[Scored], names: list[str] = NAMES) -> tuple[dict[str, Any], PerImage]:
    counts = counts_of(images, len(names))
    facts = {"checkpoint_step": 5, "num_images": len(images), "boundary_iou": {}}
    return rates_of(counts.total(), names) | facts, counts


@pytest.fixture
def better() -> tuple[dict[str, Any], PerImage]:
    return evaluated(random_images(12, 3, unused=1, error=0.1))


def written(folder: Path, images: list[Scored], names: list[str] = NAMES) -> Result:
    folder.mkdir()
    write_result(folder, *evaluated(images, names), report="")
    return read_result(folder / "metrics.json")


def test_differences_class_by_class_and_image_by_image(better: Any, tmp_path: Path):
    metrics, counts = better
    worse = random_images(12, 3, unused=1, error=0.3)
    other = written(tmp_path / "other", worse[::-1])  # in another order
    found = compared(metrics, counts, other)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["checkpoint_step"] == 5
    for name in "abc":
        row = found["per_class_iou"][name]
        assert row["this"] == metrics["per_class_iou"][name]
        assert row["other"] == other.metrics["per_class_iou"][name]
        assert row["difference"] == row["this"] - row["other"]
        low, high = row["interval"]
        assert 0 < low < row["difference"] < high
    nothing = dict.fromkeys(("this", "other", "difference", "interval"))
    assert found["per_class_iou"]["never"] == nothing
    assert found["miou"]["difference"] == metrics["miou"] - other.metrics["miou"]
    gaps = {
        name: ours - evaluated([image])[1].miou[0]
        for name, ours, image in zip(counts.ids, counts.miou, worse, strict=True)
    }
    listed = {row["id"]: row["difference"] for row in found["images"]}
    assert listed == pytest.approx(gaps)
    assert list(map(abs, listed.values())) == sorted(map(abs, listed.values()), reverse=True)
    table = render_table(metrics | {"comparison": found})
    lines = [line for line in table.splitlines() if str(other.path) not in line]
    assert max(map(len, lines)) <= 80
    assert f"{found['miou']['difference']:+.4f}" in table and found["images"][0]["id"] in table


def test_a_model_differs_from_itself_by_nothing(better: Any, tmp_path: Path):
    metrics, counts = better
    other = written(tmp_path / "other", random_images(12, 3, unused=1, error=0.1))
    found = compared(metrics, counts, other)
    assert found["miou"]["difference"] == 0 and found["miou"]["interval"] == [0, 0]
    assert found["images"] == []


def test_other_images_are_refused(better: Any, tmp_path: Path):
    other = written(tmp_path / "other", random_images(11, 3, unused=1))
    with pytest.raises(
        DeepLabError, match=r"other images .*image 011 is only here \(12 images here, 11 there"
    ):
        compared(*better, other)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "c", "x"], "the first is 'never'"),
        (["b", "a", "c", "never"], "in another order"),
        (["a", "b", "c", "never", "more"], "the first is 'more'"),
    ],
)
def test_other_classes_are_refused(better: Any, tmp_path: Path, names: list[str], message: str):
    images = random_images(12, 3, unused=len(names) - 3)
    other = written(tmp_path / "other", images, names)
    with pytest.raises(DeepLabError, match=f"metrics.json is of other classes.*{message}"):
        compared(*better, other)


def test_files_that_are_no_result(tmp_path: Path):
    result = written(tmp_path / "other", random_images(3, 3, unused=1))
    counts = evaluated(random_images(2, 3, unused=1))[1]
    (result.path.with_name("per_image.npz")).write_bytes(counts.to_bytes())
    with pytest.raises(DeepLabError, match="of two evaluations"):
        read_result(result.path)
    result.path.with_name("per_image.npz").unlink()
    with pytest.raises(DeepLabError, match=r"per_image\.npz is not there"):
        read_result(result.path)
    for text in ("{", "[]", '{"confusion_matrix": [[1]]}', '{"confusion_matrix": "x"}'):
        result.path.write_text(text)
        with pytest.raises(DeepLabError, match=r"metrics\.json is no metrics\.json"):
            read_result(result.path)
    with pytest.raises(DeepLabError, match="can be read: FileNotFoundError"):
        read_result(tmp_path / "nowhere.json")
    assert np.array_equal(counts.sizes, [[12, 16]] * 2)
