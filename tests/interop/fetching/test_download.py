"""Files from servers: whole and checked, or none and one line."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zoo
from command_line import Command

import deeplab
from deeplab.interop.fetching import fetch_file, keras_files
from deeplab.interop.fetching.keras_files import KERAS_FILES
from deeplab.interop.model_zoo import ROWS

NAME = "mobilenetv3_small_cityscapes_trainfine"
CONTENT = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[zoo.Server]:
    with zoo.serving() as server:
        (tmp_path / "content").write_bytes(CONTENT)
        server.files["/models/file.bin"] = tmp_path / "content"
        yield server


def fetch(server: zoo.Server, md5: str | None = None) -> str:
    return fetch_file(f"{server.url}models/", "file.bin", source="model_zoo", md5=md5)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("md5", [None, hashlib.md5(CONTENT).hexdigest()])
def test_a_whole_file_is_downloaded_once(
    server: zoo.Server, cache: Path, md5: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    path = fetch(server, md5)
    assert Path(path).read_bytes() == CONTENT
    assert fetch(server, md5) == path
    assert server.asked == ["/models/file.bin"]
    assert names_in(cache) == (["file.bin"] if md5 else ["file.bin", "file.bin.sha256"])
    output, errors = capfd.readouterr()
    assert output == f"downloading {server.url}models/file.bin\n"
    assert errors == ""


def test_a_file_that_changed_on_the_disk_is_downloaded_again(server: zoo.Server) -> None:
    for md5 in (None, hashlib.md5(CONTENT).hexdigest()):
        path = Path(fetch(server, md5))
        path.write_bytes(b"damaged")
        assert Path(fetch(server, md5)).read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_another_file_than_the_first_one_is_refused(
    server: zoo.Server, cache: Path, tmp_path: Path
) -> None:
    path = Path(fetch(server))
    path.unlink()
    (tmp_path / "content").write_bytes(b"another")
    with pytest.raises(deeplab.DeepLabError, match=r"is not what was downloaded first.*sha256"):
        fetch(server)
    with pytest.raises(deeplab.DeepLabError, match="has not the published MD5 sum 0123"):
        fetch(server, "0123")
    assert names_in(cache) == ["file.bin.sha256"]


def test_a_download_that_fails_leaves_nothing(server: zoo.Server, cache: Path) -> None:
    server.cut.add("/models/file.bin")
    for why in ("the connection broke before the end", "the server answers 404", "no connection"):
        if why.endswith("404"):
            server.files.clear()
        if why == "no connection":
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                server.url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(deeplab.DeepLabError, match="^[^\n]*$") as error:
            fetch(server)
        assert str(error.value).startswith("cannot download file.bin: ")
        assert why in str(error.value)
        assert f"fetch {server.url}models/file.bin by hand" in str(error.value)
        assert "--source=model_zoo --checkpoint=file.bin" in str(error.value)
        assert not cache.exists()


def test_a_cache_that_cannot_be_written(server: zoo.Server, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(deeplab.DeepLabError, match="DEEPLAB_CACHE=FOLDER chooses another cache"):
        fetch(server)
    assert server.asked == []


# Keras


def test_the_files_of_keras_are_those_of_the_installed_version() -> None:
    mobilenet = pytest.importorskip("keras.src.applications.mobilenet_v2")
    resnet = pytest.importorskip("keras.src.applications.resnet")
    assert resnet.BASE_WEIGHTS_PATH == f"{keras_files._SERVER}resnet/"
    assert mobilenet.BASE_WEIGHT_PATH == f"{keras_files._SERVER}mobilenet_v2/"
    for name in ("ResNet50", "ResNet101"):
        file = KERAS_FILES[name]
        assert resnet.WEIGHTS_HASHES[name.lower()][0] == file.md5
        assert file.path == f"resnet/{name.lower()}_weights_tf_dim_ordering_tf_kernels.h5"


def test_a_network_of_keras_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: zoo.Server
) -> None:
    monkeypatch.setenv("DEEPLAB_KERAS_URL", f"{server.url}keras")
    path = "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"
    server.files[f"/keras/{path}"] = tmp_path / "content"
    fetched = keras_files.fetch("mobilenetv2")
    assert Path(fetched.path).name == Path(path).name
    assert Path(fetched.path).read_bytes() == CONTENT
    with pytest.raises(deeplab.DeepLabError, match="choices: MobileNetV2, ResNet101, ResNet50"):
        keras_files.fetch("Xception")


# The command


def test_a_model_of_the_zoo_is_imported_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_command: Command, cache: Path
) -> None:
    archive = zoo.write_archive(tmp_path, NAME)
    arguments = ("import", "--source=model_zoo", f"--checkpoint={NAME}")
    with zoo.serving() as server:
        monkeypatch.setenv("DEEPLAB_ZOO_URL", f"{server.url}models/")
        server.files[f"/models/{archive.name}"] = archive
        code, output, errors = run_command(*arguments, f"--model_dir={tmp_path / 'm'}")
    assert (code, errors) == (0, "")
    assert ROWS[NAME].published in output
    report = json.loads((tmp_path / "m" / "import.json").read_text())
    assert report["files"] == [
        {
            "path": str(cache / "downloads" / "model_zoo" / archive.name),
            "size": archive.stat().st_size,
            "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        }
    ]
    # Without a server: what has been downloaded is there.
    code, output, errors = run_command(*arguments, f"--model_dir={tmp_path / 'n'}")
    assert (code, errors) == (0, "")
    code, output, errors = run_command(
        "import", "--source=model_zoo", "--checkpoint=edgetpu_deeplab", f"--model_dir={tmp_path}/o"
    )
    assert (code, errors.count("\n")) == (1, 1)
    assert "by hand and pass it: deeplab import --source=model_zoo --checkpoint=edgetpu" in errors
    assert not (tmp_path / "o").exists()
