"""TIFF files with a place on Earth, read and written by bands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from color_export import COLOR_CLASSES
from PIL import Image
from source_folders import random_image, save

import deeplab
from deeplab.data.colors import overlay
from deeplab.errors import DeepLabError
from deeplab.evaluation.prediction.rasters import is_raster

rasterio = pytest.importorskip("rasterio")

PLACE = {"crs": "EPSG:32632", "transform": rasterio.Affine(0.5, 0, 691000, 0, -0.5, 5335000)}
SUFFIXES = ("_index.tif", "_color.tif", "_overlay.tif")


def write(path: Path, bands: np.ndarray, **settings: Any) -> Path:
    """A TIFF file of [bands, H, W]."""
    path.parent.mkdir(exist_ok=True, parents=True)
    settings = {"driver": "GTiff", "dtype": bands.dtype, **settings}
    count, height, width = bands.shape
    with rasterio.open(path, "w", count=count, height=height, width=width, **settings) as file:
        file.write(bands)
    return path


def bands_of(image: np.ndarray) -> np.ndarray:
    return np.moveaxis(image, -1, 0)


@pytest.fixture
def predict(color_export: Path, tmp_path: Path) -> Callable[..., Any]:
    def predict(*inputs: Path, **settings: Any) -> Any:
        settings = {"saved_model": color_export, "progress": False, **settings}
        return deeplab.predict(inputs=inputs, output_dir=tmp_path / "out", **settings)

    return predict


@pytest.mark.parametrize("window", [None, (20, 16), (300, 400)])
def test_results_lie_where_the_image_lies(
    predict: Callable[..., Any], tmp_path: Path, window: tuple[int, int] | None
) -> None:
    photo = random_image(70, 90)
    path = write(tmp_path / "city.tif", bands_of(photo), **PLACE, photometric="RGB")
    result = predict(path, window=window)
    assert [target.name for target in result.written] == [f"city{end}" for end in SUFFIXES]
    ids = photo.argmax(axis=-1)
    expected = (ids, ids, overlay(photo, ids, COLOR_CLASSES))
    for target, values in zip(result.written, expected, strict=True):
        with rasterio.open(target) as file:
            assert file.crs.to_epsg() == 32632 and file.transform == PLACE["transform"]
            assert set(file.dtypes) == {"uint8"}
            assert np.array_equal(np.squeeze(np.moveaxis(file.read(), 0, -1)), values)
            if target.name == "city_color.tif":
                colors = [file.colormap(1)[class_id][:3] for class_id in range(3)]
                assert colors == list(COLOR_CLASSES)


def test_which_files_are_rasters(tmp_path: Path) -> None:
    photo = random_image(5, 6)
    big = write(tmp_path / "big.TIFF", bands_of(photo), **PLACE, bigtiff="yes")
    plain = save(tmp_path / "plain.tif", photo)
    png = save(tmp_path / "x.png", photo)
    (tmp_path / "cut.tif").write_bytes(plain.read_bytes()[:30])
    found = {
        path.name: (is_raster(path, by_bands=False), is_raster(path, by_bands=True))
        for path in (big, plain, png, tmp_path / "cut.tif", tmp_path / "missing.tif")
    }
    assert found == {
        "big.TIFF": (True, True),
        "plain.tif": (False, True),
        "x.png": (False, False),
        "cut.tif": (False, True),
        "missing.tif": (False, True),
    }


def test_one_without_georeference_is_fine_and_said(
    predict: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photo = random_image(30, 40)
    path = save(tmp_path / "plain.tif", photo)
    result = predict(path, window=(16, 16), progress=True)
    output = capfd.readouterr()
    assert f"{path} has no georeference, nor have its results" in output.out
    assert output.err == ""
    with Image.open(result.written[0]) as ids:
        assert np.array_equal(ids, photo.argmax(-1))


def test_ground_control_points_are_kept(predict: Callable[..., Any], tmp_path: Path) -> None:
    point = rasterio.control.GroundControlPoint
    points = [point(0, 0, 10.0, 50.0), point(0, 9, 10.1, 50.0), point(9, 0, 10.0, 49.9)]
    path = write(tmp_path / "x.tif", bands_of(random_image(10, 10)), gcps=points, crs="EPSG:4326")
    result = predict(path, save=["index"])
    with rasterio.open(result.written[0]) as file:
        found, crs = file.gcps
    assert crs.to_epsg() == 4326
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]


def test_the_bands_that_are_seen(predict: Callable[..., Any], tmp_path: Path) -> None:
    photo = random_image(20, 24)
    red, green, blue = bands_of(photo)
    near_infrared = np.full_like(red, 255)
    kinds = rasterio.enums.ColorInterp
    # Four bands in another order, as they say themselves.
    path = write(tmp_path / "a.tif", np.stack([near_infrared, blue, green, red]), **PLACE)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [kinds.undefined, kinds.blue, kinds.green, kinds.red]
    # Ids with a palette.
    ids = photo.argmax(-1).astype(np.uint8)
    write(tmp_path / "b.tif", ids[None], **PLACE)
    with rasterio.open(tmp_path / "b.tif", "r+") as file:
        file.write_colormap(1, {0: (9, 1, 1, 255), 1: (1, 9, 1, 255), 2: (1, 1, 9, 255)})
    # Gray with alpha: the first of equal classes.
    gray = write(tmp_path / "c.tif", np.stack([red, near_infrared]), **PLACE, alpha="yes")
    result = predict(path, tmp_path / "b.tif", gray, save=["index"])
    found = []
    for target in result.written:
        with rasterio.open(target) as file:
            found.append(file.read(1))
    assert np.array_equal(found[0], ids) and np.array_equal(found[1], ids)
    assert not found[2].any()


def test_rasters_that_cannot_be_seen_are_named(
    predict: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good = bands_of(random_image(40, 50))
    files = [
        write(tmp_path / "floats.tif", good.astype(np.float32), **PLACE),
        write(tmp_path / "five.tif", np.concatenate([good, good[:2]]), **PLACE),
        write(tmp_path / "good.tif", good, **PLACE),
    ]
    cut = write(tmp_path / "cut.tif", good, **PLACE, tiled=True, blockxsize=16, blockysize=16)
    cut.write_bytes(cut.read_bytes()[:-3000])
    result = predict(*files, cut, window=(16, 16), progress=True)
    lines = capfd.readouterr().err.splitlines()
    reasons = dict(zip(("floats", "five", "cut"), lines, strict=True))
    assert "floats.tif: has values of float32: convert it to 8 bits" in reasons["floats"]
    assert "five.tif: has 5 bands" in reasons["five"]
    assert "cannot read the image" in reasons["cut"] and "cut.tif: the file is" in reasons["cut"]
    assert [path.name for path, _ in result.failures] == ["floats.tif", "five.tif", "cut.tif"]
    # Nothing half-written is left.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"good{end}" for end in SUFFIXES
    )


def test_kinds_that_rasters_do_not_have(predict: Callable[..., Any], tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", bands_of(random_image(4, 5)), **PLACE)
    message = r"x\.tif is a raster, of which there is no result 'coco'; choices: index, color,"
    with pytest.raises(DeepLabError, match=message):
        predict(path, save=["coco"])


def test_rasterio_that_is_not_installed(
    predict: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.tif", bands_of(random_image(4, 5)), **PLACE)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DeepLabError, match=r"x\.tif .*rasterio.* pip install 'deeplab\[geo\]'"):
        predict(path)


@pytest.mark.slow
def test_a_large_raster_takes_the_memory_of_its_bands(tmp_path: Path) -> None:
    size, window, classes = 4000, 256, 21
    path = tmp_path / "large.tif"
    settings = {"driver": "GTiff", "count": 3, "height": size, "width": size, "dtype": "uint8"}
    with rasterio.open(path, "w", **settings, tiled=True, photometric="RGB", **PLACE) as file:
        band = np.random.default_rng(0).integers(0, 256, (3, 500, size), np.uint8)
        for top in range(0, size, 500):
            file.write(band, window=rasterio.windows.Window(0, top, size, 500))
    program = f"""
import resource
import numpy as np
from pathlib import Path
from deeplab.evaluation.prediction.inputs import Input
from deeplab.evaluation.prediction.saves import Classes, choose_saves
from deeplab.evaluation.prediction.streaming import segment_raster
from deeplab.evaluation.prediction.targets import make_job
from deeplab.evaluation.prediction.work import Work
from deeplab.runtimes.predictor import Predictor
from deeplab.runtimes.windows import Windows

def probabilities(images):
    result = np.zeros((*images.shape[:3], {classes}), np.float32)
    result[..., :3] = images
    return result

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

names = [f"class {{k}}" for k in range({classes})]
classes = Classes(names, [(0, 0, 0)] * {classes})
saves = choose_saves(("index", "overlay"), classes)
windows = Windows(({window}, {window}), (64, 64))
work = Work(Predictor(None, probabilities), windows, 3, classes, saves, 1)
path = Path({str(path)!r})
job = make_job(Input(path, Path("large")), "raster", saves, path.parent)
before = memory()
outcome = segment_raster(job, work)
assert outcome.complaint is None, outcome
print((memory() - before) // 1024)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    # One band of probabilities has 82 MB, the cache of blocks at most 256; all probabilities 1,282.
    assert int(result.stdout) < 600
    with rasterio.open(path) as image, rasterio.open(tmp_path / "large_index.tif") as ids:
        for top in (0, 1990, 3900):
            part = rasterio.windows.Window(0, top, size, 100)
            assert np.array_equal(ids.read(1, window=part), image.read(window=part).argmax(0))
