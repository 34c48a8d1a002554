"""Prepared data sets at gs://: TFDS and TensorFlow's own client, and a bucket on this machine."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from fake_bucket import READ_ONLY, fake_bucket
from source_folders import make_folder, random_mask, save
from streams import Batch, assert_equal, training_batches

from deeplab.cli.main import main
from deeplab.data import (
    DataConfig,
    PreparedDataset,
    evaluation_batches,
    load_dataset,
)
from deeplab.errors import DeepLabError

SIZES = {**{f"train/{k}": (12, 16) for k in range(5)}, "val/a": (8, 9), "val/b": (6, 7)}
GIN = "--gin_file=dataset/folder.gin"

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl makes the certificate of the bucket"
)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        with fake_bucket(tmp_path_factory.mktemp("bucket"), monkeypatch):
            yield


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "source", SIZES)


def data_dir_of(tmp_path: Path) -> str:
    return f"gs://bucket/{tmp_path.name}"


def load(source: Path, data_dir: str) -> PreparedDataset:
    return load_dataset("folder", data_dir=data_dir, source_dir=str(source))


def objects(data_dir: str) -> list[str]:
    found = [
        f"{folder.rstrip('/')}/{name}"
        for folder, _, names in tf.io.gfile.walk(data_dir)
        for name in names
    ]
    return sorted(found)


_watched: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is not None and event.split(".")[0] in ("open", "os", "shutil", "tempfile"):
        _watched.extend(f"{event} {a!r}" for a in arguments if re.search("gs:/", str(a)))


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is asked of this machine's file system about paths that are remote."""
    global _watched
    if _watched is None:
        sys.addaudithook(_watch)
    _watched = []
    for name in ("stat", "access"):  # no hook sees these
        plain = getattr(os, name)

        def watched(path: Any, *rest: Any, _plain: Any = plain, **named: Any) -> Any:
            _watch("os.", (path,))
            return _plain(path, *rest, **named)

        monkeypatch.setattr(os, name, watched)
    yield _watched
    _watched = None


@needs_openssl
def test_a_bucket_is_prepared_as_a_disk_is(
    bucket: None,
    source: Path,
    tmp_path: Path,
    touched: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    data_dir = data_dir_of(tmp_path)
    renamed = []
    rename = tf.io.gfile.rename

    def noting(old: str, new: str, overwrite: bool = False) -> None:
        renamed.append((old, new, objects(new)))
        rename(old, new, overwrite)

    monkeypatch.setattr(tf.io.gfile, "rename", noting)
    remote = load(source, data_dir)
    assert remote.splits == {"train": 5, "val": 2} and remote.data_dir == data_dir
    folder = remote.prepared_dir("train")
    # Under another name, until all of it is there.
    (last,) = [row for row in renamed if row[1] == folder]
    assert re.fullmatch(r"incomplete\.\w+", last[0].rpartition("/")[2].rpartition("_")[0])
    assert last[2] == []
    assert objects(data_dir) and all(name.startswith(f"{folder}/") for name in objects(data_dir))
    again = load_dataset("folder", data_dir=data_dir, source_dir=str(source), may_prepare=False)
    assert again.splits == remote.splits
    assert touched == [] and list((tmp_path / "here").iterdir()) == []


@needs_openssl
@pytest.mark.slow
def test_a_bucket_is_read_as_a_disk_is(
    bucket: None, source: Path, tmp_path: Path, touched: list[str]
) -> None:
    def batches(dataset: PreparedDataset, cache: str) -> list[Batch]:
        config = DataConfig(dataset="folder", crop_size=(9, 12), cache=cache)
        trained_on = training_batches(dataset, config, 4, global_batch_size=2)
        return [*trained_on, *evaluation_batches(dataset, 1).as_numpy_iterator()]

    remote = load(source, data_dir_of(tmp_path))
    expected = batches(load(source, str(tmp_path / "data")), "none")
    for cache in ("none", "encoded", "decoded"):
        assert_equal(batches(remote, cache), expected)
    assert touched == []


@needs_openssl
def test_what_cannot_be_prepared_leaves_nothing(bucket: None, source: Path, tmp_path: Path) -> None:
    save(source / "labels/val/b.png", random_mask(6, 7, (0, 9)))
    data_dir = data_dir_of(tmp_path)
    with pytest.raises(DeepLabError, match=r"b\.png holds the ids 9"):
        load(source, data_dir)
    assert objects(data_dir) == []


@needs_openssl
def test_a_copy_that_was_cut_off_is_not_taken_for_whole(
    bucket: None, source: Path, tmp_path: Path
) -> None:
    # A bucket has no folders: their renaming goes object by object, and can end between two.
    data_dir = data_dir_of(tmp_path)
    load(source, data_dir)
    while len(left := objects(data_dir)) > 1:
        tf.io.gfile.remove(left[-1])
        with pytest.raises(DeepLabError, match=r"^[^\n]*gs://[^\n]*delete[^\n]*$"):
            load(source, data_dir).open_all()


@needs_openssl
def test_the_commands(
    bucket: None, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = [GIN, f"--source_dir={source}", f"--data_dir={data_dir_of(tmp_path)}"]
    for command in (["prepare"], ["prepare"], ["stats"]):
        assert main(["dataset", *command, *flags]) == 0
    assert "  train: 5 images" in capfd.readouterr().out
    flags[2] = f"--data_dir=gs://{READ_ONLY}/data"
    assert main(["dataset", "prepare", *flags]) == 1
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and f"gs://{READ_ONLY}/data: " in errors and "403" in errors


@needs_openssl
@pytest.mark.slow
def test_training_and_evaluation(
    bucket: None, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ["CROP_SIZE=33", "GLOBAL_BATCH_SIZE=2", "TRAIN_STEPS=2", "EVAL_STEPS=1"]
    settings += [f"ModelConfig.{name}_channels=8" for name in ("aspp", "decoder")]
    flags = ["--gin_file=runs/folder_mobilenet_v2.gin", f"--source_dir={source}"]
    flags += [f"--gin_bindings={setting}" for setting in settings]
    data_dir, run = data_dir_of(tmp_path), f"--model_dir={tmp_path}/run"
    assert main(["train", *flags, run, f"--data_dir={data_dir}"]) == 0
    assert objects(data_dir)
    assert main(["evaluate", run]) == 0  # where the records are is remembered
    tf.io.gfile.remove(next(name for name in objects(data_dir) if "-val.tfrecord" in name))
    capfd.readouterr()
    assert main(["evaluate", run]) == 1
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1
    assert re.search(rf"the record file {data_dir}\S*-val\S* is missing: bring it back", errors)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("folder", ["--data_dir=foo://x"], r"cannot be foo://x; possible: a folder on .*gs://\.\."),
        # TensorFlow knows it, TFDS does not.
        ("folder", ["--data_dir=ram://x"], r"cannot be ram://x; possible: .*gs://\.\.\."),
        # TFDS knows it, TensorFlow does not.
        ("folder", ["--data_dir=hf://x"], r"cannot be hf://x; possible: .*gs://\.\.\."),
        ("folder", ["--data_dir=gs://"], r"cannot be gs://; possible: "),
        ("camvid", ["--data_dir=gs://bucket/x"], r"cannot use gs://bucket/x: .*no such host when"),
        ("shapes", ["--data_dir=gs://bucket/x"], r"cannot use gs://bucket/x: .*no such host when"),
    ],
)
@pytest.mark.parametrize("command", ["prepare", "check", "stats"])
def test_a_data_dir_that_cannot_be_used(
    command: str,
    name: str,
    flags: list[str],
    message: str,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def unreachable(path: str) -> bool:
        raise tf.errors.FailedPreconditionError(None, None, "no such host\n\t when reading")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tf.io.gfile, "exists", unreachable)
    if name == "folder":
        flags = [*flags, f"--source_dir={source}"]
    assert main(["dataset", command, f"--gin_file=dataset/{name}.gin", *flags]) == 1
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and re.search(message, errors)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("command", ["prepare", "check", "stats"])
def test_raw_files_lie_on_a_disk(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    data = f"--data_dir={tmp_path}/data"
    assert main(["dataset", command, GIN, "--source_dir=gs://bucket/raw", data]) == 1
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and "must be on a disk, not gs://bucket/raw" in errors
    own = [f"--{name}=gs://bucket/{name}" for name in ("images", "labels", "classes")]
    assert main(["dataset", command, *own, data]) == 1
    errors = capfd.readouterr().err
    assert errors.startswith("deeplab: flag --images=gs://bucket/images: ")
    assert list(tmp_path.iterdir()) == []
