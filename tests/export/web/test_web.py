"""The page segments photographs in a browser as Python does, and asks nobody else."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, chromium, serving
from PIL import Image

import deeplab
from deeplab.errors import DeepLabError
from deeplab.export.web import CONTENTS
from deeplab.export.web.runtime import FILES, copy_runtime

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")

MODEL = Path(__file__).resolve().parents[2] / "made_by_0_1_0" / "model"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with what npm has."""
    if shutil.which("npm") is None:
        pytest.skip("no npm")
    folder = tmp_path_factory.mktemp("web") / "page"
    try:
        deeplab.export(model_dir=MODEL, export_dir=folder, format="web")
    except DeepLabError as error:
        if "npm pack" not in str(error):
            raise
        pytest.skip(f"npm cannot download: {error}")
    return folder


@pytest.fixture
def page(exported: Path) -> Iterator[tuple[Browser, list[str]]]:
    """The page, ready, and what its server was asked for."""
    with chromium() as browser, serving(exported) as (address, asked):
        browser.do("/url", url=address)
        browser.wait("return document.getElementById('status').textContent === 'Ready.'")
        yield browser, asked


@pytest.mark.slow
def test_a_photograph_in_the_browser(
    exported: Path, page: tuple[Browser, list[str]], reference_data: Path, tmp_path: Path
) -> None:
    browser, asked = page
    with Image.open(reference_data / "data" / "photos" / "skimage_astronaut.png") as photo:
        pixels = np.asarray(photo.convert("RGB"))[64:257, 96:353]  # both sides odd
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    browser.run("document.getElementById('longest').value = '0'")
    browser.choose_file("#file", tmp_path / "photo.png")
    found = browser.wait("return window.segmentation && [...window.segmentation.classes]")
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    [[expected]] = session.run(["classes"], {"images": pixels[None]})
    np.testing.assert_array_equal(np.reshape(found, expected.shape), expected)

    # The legend has the classes that are there, and its boxes show and hide them.
    names = json.loads((exported / "model.json").read_text())["classes"]
    ids, counts = np.unique(expected, return_counts=True)
    shown = browser.run("return [...document.querySelectorAll('.name')].map(e => e.textContent)")
    assert shown == [names[i] for i in ids[np.argsort(-counts, kind="stable")]]
    opaque = (
        "const c = document.getElementById('overlay');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return d.filter((value, index) => index % 4 === 3 && value > 0).length"
    )
    hidden = counts[[names[i].lower() == "background" for i in ids]].sum()
    assert browser.run(opaque) == expected.size - hidden
    browser.run("for (const box of document.querySelectorAll('#legend input:checked')) box.click()")
    assert browser.run(opaque) == 0

    assert set(asked) <= {"/", *(f"/{name}" for name in CONTENTS)}
    places = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert len(places) >= 6 and all(place.startswith("http://127.0.0.1:") for place in places)
    assert browser.errors() == []


@pytest.mark.slow
def test_a_phone_and_a_file_that_is_no_image(
    page: tuple[Browser, list[str]], tmp_path: Path
) -> None:
    browser, _ = page
    (tmp_path / "notes.png").write_text("no image")
    browser.choose_file("#file", tmp_path / "notes.png")
    browser.wait(
        "return document.querySelector('#status.error')?.textContent.includes('notes.png')"
    )
    browser.do("/window/rect", width=390, height=844)
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.slow
def test_what_is_written(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == set(CONTENTS)
    record = json.loads((exported / "export.json").read_text())
    assert record["format"] == "web" and record["file"] == "model.onnx"


def write_runtime(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("inside", ["", "dist", "package/dist"])
def test_a_folder_in_the_place_of_npm(tmp_path: Path, inside: str) -> None:
    write_runtime(tmp_path / "runtime" / inside, *FILES)
    target = write_runtime(tmp_path / "target")
    copy_runtime(target, tmp_path / "runtime")
    assert {path.name: path.read_text() for path in target.iterdir()} == {n: n for n in FILES}


def test_a_folder_without_a_file(tmp_path: Path) -> None:
    runtime = write_runtime(tmp_path / "runtime", *FILES[1:])
    with pytest.raises(DeepLabError, match=f"runtime has no {FILES[0]}"):
        copy_runtime(tmp_path, runtime)


def test_no_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeepLabError, match="npm, which is not installed; .*--web_runtime=FOLDER"):
        copy_runtime(tmp_path, None)


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("echo no network >&2; exit 1", "no network"),
        ('for last; do :; done; echo other > "${last#*=}/other.tgz"', "SHA-512"),
        ("exit 0", "0 archives"),
    ],
)
def test_an_npm_that_gives_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, value: str
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/bash\n{script}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DeepLabError, match=value):
        copy_runtime(write_runtime(tmp_path / "target"), None)


def test_a_runtime_is_for_the_page_alone(tmp_path: Path) -> None:
    with pytest.raises(DeepLabError, match="web_runtime is for the format web alone, not onnx"):
        deeplab.export(
            model_dir=MODEL, export_dir=tmp_path / "e", format="onnx", web_runtime=tmp_path
        )
    assert not (tmp_path / "e").exists()
