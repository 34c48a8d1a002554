"""SOURCE:NAME in the place of a model folder: imported once, kept, and only read."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zoo
from command_line import Command
from PIL import Image

import deeplab
from deeplab.cli import model_folder as cli_model_folder
from deeplab.interop import SOURCES, cached_models, model_folder
from deeplab.interop.fetching import Fetched, NoNetworkError
from deeplab.interop.fetching.cache import cache_root
from deeplab.interop.model_zoo import ROWS, fetch
from deeplab.interop.model_zoo.archive import Unpacked
from deeplab.interop.sources import Source

NAME = "mobilenetv3_small_cityscapes_trainfine"
SPEC = f"model_zoo:{NAME}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zoo.Server]:
    with zoo.serving() as server:
        archive = zoo.write_archive(tmp_path_factory.mktemp("zoo"), NAME)
        server.files[f"/{archive.name}"] = archive
        yield server


@pytest.fixture(scope="module")
def filled(server: zoo.Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the model in it."""
    cache = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPLAB_CACHE", str(cache))
        patch.setenv("DEEPLAB_ZOO_URL", server.url)
        model_folder(SPEC)
    return cache


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, server: zoo.Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one."""
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEEPLAB_ZOO_URL", server.url)
    server.asked.clear()
    return tmp_path / "cache"


@pytest.fixture
def full_cache(filled: Path, cache: Path) -> Path:
    shutil.copytree(filled, cache)
    return cache


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


def folders(cache: Path) -> list[Path]:
    return sorted((cache / "models" / "model_zoo" / NAME).iterdir())


def test_the_first_command(
    tmp_path: Path, cache: Path, server: zoo.Server, run_command: Command
) -> None:
    """A photo in, an overlay out; the second time without the server."""
    photo = np.random.default_rng(1).integers(0, 255, (65, 97, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    arguments = ("predict", f"--model_dir={SPEC}", f"--input={tmp_path / 'photo.jpg'}")
    code, output, errors = run_command(*arguments, f"--output_dir={tmp_path / 'out'}")
    assert (code, errors) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "photo_color.png",
        "photo_index.png",
        "photo_overlay.png",
    ]
    [line] = [line for line in output.splitlines() if line.startswith(SPEC)]
    assert "published: 68.99 % mIoU on val (output stride 32)" in line
    [folder] = folders(cache)
    assert str(folder) in line
    archive = server.files[f"/{ROWS[NAME].archive}"]
    assert folder.name.startswith(
        json.loads((folder / "import.json").read_text())["files"][0]["sha256"][:16]
    )
    assert server.asked == [f"/{archive.name}"]

    shutil.rmtree(cache / "downloads")
    before = snapshot(cache)
    code, output, errors = run_command(*arguments, f"--output_dir={tmp_path / 'again'}")
    assert (code, errors) == (0, "")
    assert line in output.splitlines()
    assert len(server.asked) == 1
    assert snapshot(cache) == before


@pytest.mark.slow
def test_the_other_commands_read_it(
    full_cache: Path, tmp_path: Path, run_command: Command, server: zoo.Server
) -> None:
    before = snapshot(full_cache)
    code, output, errors = run_command("info", f"--model_dir={SPEC}")
    assert (code, errors) == (0, "")
    assert "mobilenet_v3_small, output stride 32, 19 classes" in output
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((65, 65), np.uint8)).save(tmp_path / folder / "a.png")
    images = (f"--images={tmp_path / 'images'}", f"--labels={tmp_path / 'labels'}")
    code, output, errors = run_command("evaluate", f"--model_dir={SPEC}", *images)
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "--output_dir" in errors
    code, output, errors = run_command(
        "evaluate", f"--model_dir={SPEC}", *images, f"--output_dir={tmp_path / 'results'}"
    )
    assert code == 0
    assert (tmp_path / "results" / "metrics.json").is_file()
    assert snapshot(full_cache) == before and server.asked == []


@pytest.mark.slow
def test_it_is_exported(full_cache: Path, tmp_path: Path, run_command: Command) -> None:
    before = snapshot(full_cache)
    code, _, errors = run_command("export", f"--model_dir={SPEC}", f"--export_dir={tmp_path / 'e'}")
    assert (code, errors) == (0, "")
    assert snapshot(full_cache) == before


def test_it_is_loaded_in_python(full_cache: Path) -> None:
    model = deeplab.load_model(SPEC, output_stride=16)
    assert model.model_config.output_stride == 16
    [folder] = folders(full_cache)
    images = np.zeros((1, 65, 65, 3), np.float32)
    again = deeplab.load_model(folder, output_stride=16)
    np.testing.assert_array_equal(model(images), again(images))


def test_a_path_goes_before_a_name(
    full_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folders(full_cache)[0], SPEC)
    assert model_folder(SPEC) == SPEC
    code, output, _ = run_command("info", f"--model_dir={SPEC}")
    assert code == 0 and "published" not in output
    for text in ("no_source:x", "models/a:b"):
        assert model_folder(text) == text
    # What a run is written to is never one.
    for command in ("train --gin_file=x", "import --source=tf1 --checkpoint=x"):
        code, output, errors = run_command(*command.split(), f"--model_dir={SPEC}")
        assert (code, output) == (2, "")
        assert "imported weights are only read; give a folder of your own" in errors


def test_training_does_not_write_there(run_command: Command, cache: Path) -> None:
    code, output, errors = run_command(
        "train", "--gin_file=runs/shapes_mobilenet_v2.gin", f"--model_dir={SPEC}"
    )
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert "imported weights are only read" in errors and f"--init_from={SPEC}" in errors
    assert not cache.exists()


def test_names_that_mean_nothing(cache: Path, run_command: Command) -> None:
    for spec, message in (
        ("model_zoo:mobilenetv3", "unknown model of the zoo 'mobilenetv3'"),
        ("model_zoo:", "SOURCE:NAME is for the sources hugging_face, keras_applications"),
        ("tf1:model.ckpt", "become a model folder by `deeplab import`"),
    ):
        code, output, errors = run_command("info", f"--model_dir={spec}")
        assert (code, output, errors.count("\n")) == (1, "", 1)
        assert message in errors
    assert not cache.exists()


def test_sources_are_those_of_the_library() -> None:
    assert sorted(cli_model_folder.SOURCES) == sorted(SOURCES)


# The cache


@pytest.mark.parametrize("damage", ["short", "gone", "report"])
def test_a_damaged_folder_is_made_again(full_cache: Path, damage: str) -> None:
    [folder] = folders(full_cache)
    [data] = folder.glob("checkpoints/*.data-*")
    size = data.stat().st_size
    if damage == "short":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "gone":
        data.unlink()
    else:
        (folder / "import.json").write_text("{")
    assert model_folder(SPEC) == str(folder)
    assert data.stat().st_size == size
    assert json.loads((folder / "import.json").read_text())["files"]
    assert folders(full_cache) == [folder]


def test_what_others_put_there_is_left_alone(full_cache: Path) -> None:
    [folder] = folders(full_cache)
    (folder / "notes.txt").write_text("mine")
    model_folder(SPEC)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_two_processes_fill_it_at_once(tmp_path: Path, cache: Path) -> None:
    code = (
        "import sys\n"
        "from deeplab.interop import model_folder, cached_models\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"print(model_folder({SPEC!r}))\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    [folder] = folders(cache)
    assert {output.splitlines()[-1] for output in outputs} == {str(folder)}
    deeplab.load_model(folder)


def test_whoever_comes_second_discards_its_copy(
    full_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [folder] = folders(full_cache)
    ready = folder.with_name("ready")
    folder.rename(ready)

    def import_slowly(*, model_dir: Path, **arguments: object) -> None:
        shutil.copytree(ready, model_dir)
        ready.rename(folder)  # somebody else

    monkeypatch.setattr(cached_models, "import_model", import_slowly)
    inode = ready.stat().st_ino
    assert model_folder(SPEC) == str(folder)
    assert folder.stat().st_ino == inode
    assert folders(full_cache) == [folder]


def test_a_cache_that_cannot_be_written(cache: Path, run_command: Command) -> None:
    cache.write_text("a file")
    code, output, errors = run_command("info", f"--model_dir={SPEC}")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "DEEPLAB_CACHE=FOLDER chooses another cache" in errors


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("DEEPLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root().name == "deeplab"


def test_a_name_cannot_leave_it(cache: Path) -> None:
    for name in ("../../x", "..", ".", "a/b"):
        folder = cached_models.Spec("model_zoo", name).folder
        assert folder.parent == cache / "models" / "model_zoo"
        assert folder.name not in (".", "..")


def test_a_name_whose_weights_may_move(
    full_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its revision is asked for each time; without a network the newest import does."""
    answers = ["a" * 40, "b" * 40]

    def fetch_revision(name: str) -> Fetched:
        if not answers:
            raise NoNetworkError("cannot download it", "the Hub cannot be reached")
        return Fetched(fetch(name).path, answers.pop(0))

    row = Source(SOURCES["model_zoo"].read, fetch_revision, moves=True)
    monkeypatch.setitem(SOURCES, "model_zoo", row)
    names = [Path(model_folder(SPEC)).name for _ in range(2)]
    assert names == [f"{'a' * 16}-1", f"{'b' * 16}-1"]
    newest = full_cache / "models" / "model_zoo" / NAME / names[1]
    report = json.loads((newest / "import.json").read_text())
    assert report["revision"] == "b" * 40
    capsys.readouterr()
    assert Path(model_folder(SPEC)).name == f"{'b' * 16}-1"
    assert "as it was imported before, since the Hub cannot be reached" in capsys.readouterr().out
    shutil.rmtree(full_cache)
    with pytest.raises(NoNetworkError, match="cannot download it"):
        model_folder(SPEC)
    assert os.listdir(full_cache.parent) == []


@pytest.mark.slow
def test_what_stays_fresh_is_the_same_in_every_cache(
    full_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revisions = ["a" * 40, "b" * 40]
    row = Source(
        lambda request: SOURCES["tf1"].read(
            request._replace(path=str(weights), backbone_only=True)
        ),
        lambda name: Fetched(str(weights), revisions.pop()),
        moves=True,
    )
    unpacked = Unpacked(fetch(NAME).path)
    weights = unpacked.weights
    monkeypatch.setitem(SOURCES, "model_zoo", row)
    state = random.getstate()
    made = [model_folder(SPEC) for _ in range(2)]
    assert random.getstate() == state and made[0] != made[1]
    models = map(deeplab.load_model, made)
    for one, another in zip(*(model.weights for model in models), strict=True):
        np.testing.assert_array_equal(one.numpy(), another.numpy())
