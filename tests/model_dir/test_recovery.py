"""What was lost is found: damaged checkpoints, full disks, files that a killed process left."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from checkpoint_groups import groups

import deeplab
from deeplab import files
from deeplab.model_dir import exclusive, list_checkpoints, recover, save_checkpoint

SIZE = 1000  # numbers, so that there is something to damage
Damage = Callable[[Path, Path], None]  # of the index and the data of a checkpoint


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for step in (100, 200, 300):
        save_checkpoint(tmp_path / "checkpoints", step, groups(step, SIZE), keep=3)
    return tmp_path


def _cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


DAMAGES: dict[str, Damage] = {
    "last byte of the data missing": lambda index, data: _cut(data, -1),
    "half of the data missing": lambda index, data: _cut(data, 2000),
    "empty data": lambda index, data: _cut(data, 0),
    "no data": lambda index, data: data.unlink(),
    "a byte of the data changed": lambda index, data: _flip(data, 2000),
    "zeros for data": lambda index, data: data.write_bytes(bytes(data.stat().st_size)) and None,
    "half of the index missing": lambda index, data: _cut(index, 100),
    "empty index": lambda index, data: _cut(index, 0),
    "no index": lambda index, data: index.unlink(),
    "a byte of the index changed": lambda index, data: _flip(index, 20),
}


def damage(run: Path, step: int, how: str) -> None:
    prefix = run / "checkpoints" / f"ckpt-{step}"
    DAMAGES[how](Path(f"{prefix}.index"), Path(f"{prefix}.data-00000-of-00001"))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_newest_checkpoint_is_named_and_passed_over(run: Path, how: str) -> None:
    damage(run, 300, how)
    latest, lines = recover(run)
    assert latest is not None and latest.step == 200
    (line,) = lines
    assert re.fullmatch(r"checkpoint ckpt-300 is damaged \(.+\): continuing from ckpt-200", line)
    assert [c.step for c in list_checkpoints(run / "checkpoints")] == [100, 200]
    # The run goes on as if the damaged one had never been.
    save_checkpoint(run / "checkpoints", 300, groups(3, SIZE), keep=3)
    assert recover(run).lines == ()
    assert recover(run).latest.step == 300  # type: ignore[union-attr]


def test_two_damaged_checkpoints(run: Path) -> None:
    damage(run, 300, "empty index")
    damage(run, 200, "no data")
    latest, lines = recover(run)
    assert latest is not None and latest.step == 100
    assert [line.split()[1] for line in lines] == ["ckpt-300", "ckpt-200"]


def test_a_run_does_not_begin_anew_over_damaged_checkpoints(run: Path) -> None:
    for step in (100, 200, 300):
        damage(run, step, "half of the data missing")
    with pytest.raises(deeplab.DeepLabError, match=r"no checkpoint .* can be read \(ckpt-300: "):
        recover(run)


@pytest.mark.parametrize("content", [b"", b"x {", b"\xff\xff"])
def test_a_damaged_state_file_is_as_good_as_none(run: Path, content: bytes) -> None:
    (run / "checkpoints" / "checkpoint").write_bytes(content)
    latest, lines = recover(run)
    assert latest is not None and latest.step == 300
    assert lines == ()
    for path in (run / "checkpoints").glob("ckpt-*"):
        path.unlink()
    with pytest.raises(deeplab.DeepLabError, match="checkpoints/checkpoint is damaged"):
        recover(run)


def test_an_empty_folder_is_a_new_run(tmp_path: Path) -> None:
    assert recover(tmp_path) == (None, ())


def test_what_a_killed_process_left_is_removed(run: Path) -> None:
    checkpoints = run / "checkpoints"
    # As TensorFlow has them while it saves, and as files.write_bytes does and did.
    parts = checkpoints / "ckpt-400_temp"
    parts.mkdir()
    (parts / "part-00000-of-00001.data-00000-of-00001.tempstate123").write_bytes(b"half")
    (checkpoints / "ckpt-400.data-00000-of-00001").write_bytes(b"half")
    (checkpoints / ".deeplab.partial.abcdefgh").write_text("half")
    (run / ".history.json.partial.abcdefgh").write_text("half")
    (run / ".env.template").write_text("somebody's own")
    before = {path.name for path in checkpoints.iterdir()}
    recover(run)
    left = {path.name for path in checkpoints.iterdir()}
    assert before - left == {
        "ckpt-400_temp",
        "ckpt-400.data-00000-of-00001",
        ".deeplab.partial.abcdefgh",
    }
    assert {path.name for path in run.iterdir()} == {"checkpoints", ".env.template"}


def test_saving_beside_a_half_saved_checkpoint(run: Path) -> None:
    (run / "checkpoints" / "ckpt-400_temp").mkdir()
    (run / "checkpoints" / "ckpt-400_temp" / "part").write_bytes(b"half")
    save_checkpoint(run / "checkpoints", 500, groups(5, SIZE), keep=2)
    assert [c.step for c in list_checkpoints(run / "checkpoints")] == [300, 500]
    assert not (run / "checkpoints" / "ckpt-400_temp").exists()


@pytest.mark.parametrize("where", ["TensorFlow", "fsync", "replace"])
def test_a_full_disk_while_saving(run: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*arguments: object) -> None:
        raise full

    def write(checkpoint: object, prefix: str) -> None:
        Path(f"{prefix}.data-00000-of-00001").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, f"{prefix}; No space left on device")

    if where == "TensorFlow":
        monkeypatch.setattr(tf.train.Checkpoint, "write", write)
    else:
        monkeypatch.setattr(os, where, fail)
    before = {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    with pytest.raises(deeplab.DeepLabError, match=r"checkpoint .*ckpt-400: .*No space left"):
        save_checkpoint(run / "checkpoints", 400, groups(4, SIZE), keep=3)
    monkeypatch.undo()
    after = {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    assert after == before
    assert recover(run).latest.step == 300  # type: ignore[union-attr]


def test_partial_files_are_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as killed:
        for name in ("replace", "unlink"):
            killed.setattr(os, name, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            files.write_text(tmp_path / "a.txt", "half")
    assert len(list(tmp_path.iterdir())) == 1
    files.write_text(tmp_path / "a.txt", "text")
    (tmp_path / ".b.txt.abcdefgh").write_text("not ours")
    files.remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", ".b.txt.abcdefgh"}


def test_a_name_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    name = "x" * os.pathconf(tmp_path, "PC_NAME_MAX")
    files.write_text(tmp_path / name, "text")
    (tmp_path / name).unlink()
    for content in ("old", "new"):
        with files.new_directory(tmp_path / name) as folder:
            (folder / content).touch()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        name,
        f"{name}/new",
    ]


def test_the_lock_leaves_nothing_after_an_error_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive(tmp_path):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError), exclusive(tmp_path):
        (tmp_path / "model.json").touch()
        raise KeyError
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "model.json"}
