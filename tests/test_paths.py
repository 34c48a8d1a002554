"""Paths that TensorFlow takes for patterns, homes, and file systems that cannot do everything."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import stat
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checkpoint_groups import groups

import deeplab
from deeplab import files
from deeplab.cli import main as cli
from deeplab.cli import shared_flags
from deeplab.evaluation.prediction.inputs import find_images
from deeplab.interop.tf1.file import open_variables
from deeplab.model_dir import (
    exclusive,
    list_checkpoints,
    read_variable,
    recover,
    restore_checkpoint,
    save_checkpoint,
)


@pytest.mark.parametrize("name", ["[1]", "[!a]", "a*", "a?", "a\\b", "{a,b}", "a]b["])
def test_checkpoints_whose_path_looks_like_a_pattern(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    for step in (1, 2):
        saved = save_checkpoint(folder / "checkpoints", step, groups(step), keep=2)
    assert recover(folder) == (saved, ())
    assert [c.step for c in list_checkpoints(folder / "checkpoints")] == [1, 2]
    np.testing.assert_array_equal(read_variable(saved, "model", "aspp/kernel"), [2, 2])
    restored = groups(0)
    restore_checkpoint(saved, restored)
    np.testing.assert_array_equal(restored["model"]["aspp/kernel"], [2, 2])
    # Here the prefix itself may be such a name.
    prefix = tf.train.Checkpoint(v=tf.Variable([3.0])).write(str(folder / f"{name}.ckpt"))
    file = open_variables(f"{prefix}.index")
    (variable,) = (key for key in file.shapes if key.startswith("v/"))
    assert file.path == prefix and file.shapes[variable] == (1,)
    np.testing.assert_array_equal(file.read(variable), [3])


def test_images_of_a_pattern_below_a_folder_that_looks_like_one(tmp_path: Path) -> None:
    for name in ("photos [1]/b/2.png", "photos [1]/a/1.png", "photos 1/c/3.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    for pattern, names in (
        ("photos [1]/*/*.png", ["a/1", "b/2"]),
        ("photos [1]/**/*.png", ["a/1", "b/2"]),
        ("photos [12]/*/*.png", ["photos 1/c/3"]),
    ):
        found, _ = find_images([str(tmp_path / pattern)])
        assert [str(image.relative) for image in found] == names
        assert all(image.path.is_file() for image in found)


def test_a_lost_checkpoint_is_not_to_be_removed(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path / "checkpoints", 1, groups(1), keep=1)
    Path(f"{saved.prefix}.index").unlink()
    with pytest.raises(deeplab.DeepLabError, match="ckpt-1: .*bring its files back") as caught:
        recover(tmp_path)
    assert "remove" not in str(caught.value)


# Homes


def _parsed(command: str, *words: str) -> dict[str, object]:
    values = cli.COMMANDS[command].parse(words)
    return {name: values[name].value for name in values}


def test_every_path_flag_knows_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    known = set()
    for command in cli.COMMANDS.values():
        values = command.flag_values()
        for name in values:
            if isinstance(values[name].parser, shared_flags.HomePath):
                known.add(name)
                values([command.name, f"--{name}=~/x*"])
                home = f"{tmp_path}/x*"
                assert values[name].value in (home, [home]), (command.name, name)
                parser = values[name].parser
                # What may be a name stays as it is, unless there is such a file.
                is_absolute = isinstance(parser, shared_flags.AbsolutePath) and not isinstance(
                    parser, shared_flags.LocalPathOrName
                )
                values([command.name, f"--{name}=y"])
                assert values[name].value in (("/y",) if is_absolute else ("y", [home, "y"]))
    # All flags that are paths by their names.
    assert known == {
        *("gin_file", "checkpoint", "input", "model_dir", "data_dir", "source_dir", "init_from"),
        *("images", "labels", "classes", "output_dir", "saved_model", "export_dir"),
        *("classify", "litert", "onnx", "calibration_images", "web_runtime", "compare"),
        "merge_classes",
    }
    values = _parsed("train", "--data_dir=gs://bucket/~", "--gin_file=runs/x.gin")
    assert values["data_dir"] == "gs://bucket/~" and values["model_dir"] is None


@pytest.mark.parametrize(
    "flag", ["--model_dir=~/x", "--gin_file=~/x", "--input=~", "--data_dir=~nobody-here/x"]
)
def test_an_unknown_home_is_one_line_and_no_folder(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    command = "predict" if "input" in flag else "train"
    assert cli.main([command, flag]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and f"flag {flag}: " in errors
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    with pytest.raises(deeplab.DeepLabError, match="~/tensorflow_datasets: the home folder"):
        deeplab.data.load_dataset("shapes")
    assert not list(tmp_path.iterdir())


# File systems


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with exclusive(tmp_path):
        pass
    errors = capfd.readouterr().err
    assert errors.startswith("warning: ") and errors.count("\n") == 1
    assert str(tmp_path) in errors and os.strerror(code) in errors


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("chmod", errno.EPERM),
        ("chmod", errno.EOPNOTSUPP),
        ("fchmod", errno.EPERM),
        ("utime", errno.EPERM),
        ("fsync", errno.EINVAL),
        ("fsync", errno.EOPNOTSUPP),
    ],
)
def test_a_file_system_that_refuses(
    name: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, refuse)
    files.write_text(tmp_path / "a.txt", "text")
    with files.new_directory(tmp_path / "folder") as folder:
        files.write_text(folder / "b.txt", "text")
    saved = save_checkpoint(tmp_path / "checkpoints", 1, groups(1), keep=1)
    assert recover(tmp_path).latest == saved
    assert (tmp_path / "folder" / "b.txt").read_text() == "text"


def test_what_is_written_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "text")
        with files.new_directory(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "folder")]
    assert modes == [0o640, 0o750]
