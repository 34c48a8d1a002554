"""Prepared copies of which something is lost or damaged: every command says so in one line."""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from archives import expect_dummies, make_camvid
from command_line import Command
from source_folders import make_folder, numbered

from deeplab.data import load_dataset
from deeplab.errors import DeepLabError

CAMVID = "--gin_file=dataset/camvid.gin"


@pytest.fixture
def camvid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a prepared copy, whose raw files are gone."""
    expect_dummies(monkeypatch, "camvid")
    source = make_camvid(tmp_path / "source")
    load_dataset("camvid", data_dir=str(tmp_path / "data"), source_dir=str(source))
    shutil.rmtree(source)
    (info,) = (tmp_path / "data/camvid").glob("*/*/dataset_info.json")
    return info.parent


def records(copy: Path, split: str = "train") -> Path:
    (path,) = copy.glob(f"*-{split}.tfrecord*")
    return path


def keep(path: Path, count: int) -> None:
    """Cuts a record file behind a whole number of records."""
    data = path.read_bytes()
    end = 0
    for _ in range(count):
        end += 16 + struct.unpack_from("<Q", data, end)[0]
    path.write_bytes(data[:end])


def cut(name: str) -> Callable[[Path], None]:
    def damage(copy: Path) -> None:
        (copy / name).write_bytes((copy / name).read_bytes()[:50])

    return damage


LOST = "data set 'camvid', split 'train': 3 records were written, {} are there; delete the prepared"
DAMAGES = {
    "cut between records": (lambda copy: keep(records(copy), 2), LOST.format(2)),
    "a record twice": (
        lambda copy: records(copy).write_bytes(2 * records(copy).read_bytes()),
        LOST.format(6),
    ),
    "no record": (lambda copy: records(copy).write_bytes(b""), LOST.format(0)),
    "cut in a record": (
        lambda copy: records(copy).write_bytes(records(copy).read_bytes()[:-9]),
        r"the record file \S*/camvid-train\S* is damaged at byte \d+ of \d+: delete its folder",
    ),
    "no file": (
        lambda copy: records(copy).unlink(),
        r"the record file \S*/camvid-train\S* is missing: bring it back, or move its folder away",
    ),
    "cut info": (
        cut("dataset_info.json"),
        r"the prepared copy \S*/camvid/\S* is damaged: dataset_info\.json is not JSON .*delete it",
    ),
    "info of nothing": (
        lambda copy: (copy / "dataset_info.json").write_text("{}"),
        r"the prepared copy \S*/camvid/\S* is damaged: .*; delete it, and it is prepared again",
    ),
    "cut features": (
        cut("features.json"),
        r"the prepared copy \S*/camvid/\S* is damaged: features\.json is not JSON .*delete it",
    ),
    "no features": (
        lambda copy: (copy / "features.json").unlink(),
        r"the prepared copy \S*/camvid/\S* is damaged: features\.json is missing; delete it",
    ),
    "features of nothing": (
        lambda copy: (copy / "features.json").write_text("{}"),
        r"the prepared copy \S*/camvid/\S* is damaged: .*; delete it, and it is prepared again",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_every_command_names_what_is_damaged(
    name: str,
    camvid: Path,
    run_command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    damage, message = DAMAGES[name]
    damage(camvid)
    data = f"--data_dir={tmp_path}/data"
    train = ["train", "--gin_file=runs/camvid_mobilenet_v2.gin", f"--model_dir={tmp_path}/run"]
    train += ["--gin_bindings=CROP_SIZE=33", "--gin_bindings=GLOBAL_BATCH_SIZE=2"]
    for line in (*(["dataset", c, CAMVID] for c in ("check", "stats", "prepare")), train):
        code, _, errors = run_command(*line, data)
        assert code == 1 and errors.count("\n") == 1, (line, errors)
        assert re.match(f"deeplab: {message}", errors), (line, errors)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_the_last_record_of_another_split(
    camvid: Path, run_command: Command, tmp_path: Path
) -> None:
    keep(records(camvid, "test"), 0)
    for name in ("check", "stats", "prepare"):
        code, _, errors = run_command("dataset", name, CAMVID, f"--data_dir={tmp_path}/data")
        assert code == 1 and "split 'test': 1 records were written, 0 are there" in errors
    assert str(camvid) in errors


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut("dataset_info.json"), "dataset_info.json is not JSON"),
        (cut("features.json"), "features.json is not JSON"),
        (cut("metadata.json"), "damaged: "),
        (lambda copy: (copy / "metadata.json").unlink(), "metadata.json has no 'class_names'"),
        (lambda copy: keep(records(copy), 1), "written, 1 are there"),
    ],
)
def test_a_copy_whose_source_is_there(
    damage: Callable[[Path], None], message: str, run_command: Command, tmp_path: Path
) -> None:
    source = make_folder(tmp_path / "source", {**numbered(4)})
    folders = [f"--source_dir={source}", f"--data_dir={tmp_path}/data"]
    prepare = ["dataset", "prepare", "--gin_file=dataset/folder.gin", *folders]
    assert run_command(*prepare)[0] == 0
    (copy,) = (info.parent for info in (tmp_path / "data/folder").glob("*/*/dataset_info.json"))
    damage(copy)
    code, _, errors = run_command(*prepare)
    assert code == 1 and errors.count("\n") == 1
    assert message in errors and str(copy) in errors and "it is prepared again" in errors
    shutil.rmtree(copy)
    assert run_command(*prepare)[0] == 0


def test_a_copy_without_a_description_is_not_taken_for_prepared(
    run_command: Command, tmp_path: Path
) -> None:
    source = make_folder(tmp_path / "source", {**numbered(4)})
    load = {"data_dir": str(tmp_path / "data"), "source_dir": str(source)}
    load_dataset("folder", **load)
    (info,) = (tmp_path / "data/folder").glob("*/*/dataset_info.json")
    info.unlink()
    with pytest.raises(DeepLabError, match=r"dataset_info\.json is missing; delete it"):
        load_dataset("folder", **load)


def test_opening_a_split_reads_the_frames_alone(
    camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    read: list[int] = []
    plain = tf.io.gfile.GFile.read

    def counting(self: tf.io.gfile.GFile, n: int = -1) -> bytes:
        read.append(n)
        return plain(self, n)

    dataset = load_dataset("camvid", data_dir=str(tmp_path / "data"))
    monkeypatch.setattr(tf.io.gfile.GFile, "read", counting)
    dataset.open_all()
    assert read == [8] * sum(dataset.splits.values())
    dataset.open_all()
    assert len(read) == sum(dataset.splits.values())


def test_a_copy_without_its_source_in_a_folder_that_looks_like_a_pattern(
    camvid: Path, run_command: Command, tmp_path: Path
) -> None:
    (tmp_path / "data").rename(tmp_path / "data[1]")
    code, _, errors = run_command("dataset", "prepare", CAMVID, f"--data_dir={tmp_path}/data[1]")
    assert (code, errors) == (0, "")
    cut("features.json")(tmp_path / "data[1]" / camvid.relative_to(tmp_path / "data"))
    code, _, errors = run_command("dataset", "prepare", CAMVID, f"--data_dir={tmp_path}/data[1]")
    assert code == 1 and "features.json is not JSON" in errors
