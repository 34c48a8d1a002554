"""The kinds of results beyond masks and overlays, and what becomes of earlier ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from source_folders import random_image

from deeplab.data.cityscapes import CLASSES
from deeplab.data.colors import default_colors
from deeplab.errors import DeepLabError
from deeplab.evaluation.prediction.saves import SAVES, Classes, Result, choose_saves

NAMES = ("bicycle", "road", "sky")
IDS = np.random.default_rng(0).integers(0, 3, (6, 7)).astype(np.int32)
PIXELS = random_image(6, 7)


def encoded(name: str, names: tuple[str, ...] = NAMES, **settings: Any) -> bytes:
    classes = Classes(names, default_colors(len(names)))
    (kind,) = choose_saves([name], classes)
    return kind.encode(Result("sub/a.jpg", PIXELS, IDS, **settings), classes)


def image_of(data: bytes, tmp_path: Path) -> Image.Image:
    (tmp_path / "x.png").write_bytes(data)
    with Image.open(tmp_path / "x.png") as image:
        image.load()
        return image


def test_cityscapes_ids_are_those_of_the_benchmark(tmp_path: Path) -> None:
    # trainId -> id, from the benchmark's labels.py.
    assert [row.label_id for row in CLASSES] == [
        *(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    ]
    image = image_of(encoded("cityscapes_ids"), tmp_path)
    assert image.mode == "L"
    assert np.array_equal(image, np.array([33, 7, 23])[IDS])
    with pytest.raises(DeepLabError, match="save cityscapes_ids: the model's class 'cow' is none"):
        encoded("cityscapes_ids", ("road", "cow", "sky"))


def test_voc_masks_have_the_palette_of_the_benchmark(tmp_path: Path) -> None:
    image = image_of(encoded("voc_palette"), tmp_path)
    assert image.mode == "P" and np.array_equal(image, IDS)
    palette = image.getpalette()
    assert palette is not None and len(palette) == 768
    # Of VOC's own masks: background, aeroplane, tvmonitor, and void.
    assert [palette[3 * k : 3 * k + 3] for k in (0, 1, 20, 255)] == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 64, 128],
        [224, 224, 192],
    ]
    with pytest.raises(DeepLabError, match="the model has 256 classes"):
        encoded("voc_palette", tuple(map(str, range(256))))


def test_probabilities_have_16_bits(tmp_path: Path) -> None:
    probabilities = np.random.default_rng(1).dirichlet([1, 1, 1], (6, 7)).astype(np.float32)
    (tmp_path / "x.npz").write_bytes(encoded("probabilities", probabilities=probabilities))
    with np.load(tmp_path / "x.npz") as stored:
        assert stored["probabilities"].dtype == np.float16
        np.testing.assert_allclose(stored["probabilities"], probabilities, atol=5e-4)
        assert tuple(stored["classes"]) == NAMES


# Of pycocotools itself.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_gives_the_masks_back() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    data = json.loads(encoded("coco", ("a", "b", "c", "not seen")))
    assert data["images"] == [{"id": 1, "file_name": "sub/a.jpg", "height": 6, "width": 7}]
    assert [category["name"] for category in data["categories"]] == ["a", "b", "c", "not seen"]
    assert [segment["category_id"] for segment in data["annotations"]] == [0, 1, 2]
    for segment in data["annotations"]:
        mask = IDS == segment["category_id"]
        assert np.array_equal(coco.decode(segment["segmentation"]), mask)
        rows, columns = np.nonzero(mask)
        assert segment["area"] == mask.sum()
        left, top = columns.min(), rows.min()
        assert segment["bbox"] == [left, top, columns.max() - left + 1, rows.max() - top + 1]


def test_kinds_are_chosen_by_name() -> None:
    classes = Classes(NAMES, default_colors(3))
    chosen = choose_saves(["overlay", "index", "overlay"], classes)
    assert chosen == [SAVES["index"], SAVES["overlay"]]
    with pytest.raises(DeepLabError, match="unknown save 'colour'; did you mean 'color'"):
        choose_saves(["colour"], classes)
    with pytest.raises(DeepLabError, match="save names no kind of result"):
        choose_saves([], classes)


def test_the_command_has_the_same_kinds() -> None:
    from deeplab.cli import predict

    assert tuple(SAVES) == predict._SAVES


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.delitem(sys.modules, "pycocotools.mask", raising=False)
    with pytest.raises(DeepLabError, match=r"save coco needs .* pip install 'deeplab\[coco\]'"):
        encoded("coco")
