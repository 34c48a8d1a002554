"""Checkpoints, model.json, and writing files."""

import dataclasses
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checkpoint_groups import groups

import deeplab
from deeplab import files
from deeplab.model_dir import (
    ModelDescription,
    find_checkpoint,
    list_checkpoints,
    read_description,
    restore_checkpoint,
    save_checkpoint,
    write_description,
)


def test_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, step, groups(step), keep=2)
    assert [c.step for c in list_checkpoints(tmp_path)] == [3, 4]
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "ckpt-4")
    assert not list(tmp_path.glob("ckpt-1*")) and not list(tmp_path.glob("ckpt-2*"))
    restored = groups(0)
    restore_checkpoint(list_checkpoints(tmp_path)[0], restored)
    np.testing.assert_array_equal(restored["model"]["aspp/kernel"], [3, 3])


def test_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, 1, groups(5), keep=3)
    save_checkpoint(tmp_path / "b", 1, groups(5), keep=3)
    stored = sorted((tmp_path / "a").iterdir())
    assert len(stored) == 3
    for path in stored:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_half_written_checkpoint_does_not_count(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoints", 1, groups(1), keep=3)
    (tmp_path / "checkpoints" / "ckpt-2.data-00000-of-00001").write_bytes(b"half")
    assert find_checkpoint(tmp_path).step == 1


def test_lost_state_file(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path / "checkpoints", step, groups(step), keep=3)
    (tmp_path / "checkpoints" / "checkpoint").unlink()
    assert find_checkpoint(tmp_path).step == 2
    save_checkpoint(tmp_path / "checkpoints", 3, groups(3), keep=3)
    assert [c.step for c in list_checkpoints(tmp_path / "checkpoints")] == [1, 2, 3]


def test_other_architecture_is_named(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, 1, groups(1), keep=3)
    other = {"model": {"aspp/kernel": tf.Variable([[1.0]])}}
    with pytest.raises(deeplab.DeepLabError, match=r"aspp/kernel has the shape \[2\]"):
        restore_checkpoint(saved, other)
    with pytest.raises(deeplab.DeepLabError, match="aspp/conv9/kernel is missing"):
        restore_checkpoint(saved, {"model": {"aspp/conv9/kernel": tf.Variable([1.0])}})


def test_missing_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(deeplab.DeepLabError, match="has no checkpoint yet"):
        find_checkpoint(tmp_path)
    save_checkpoint(tmp_path / "checkpoints", 7, groups(1), keep=3)
    with pytest.raises(deeplab.DeepLabError, match="this run never evaluated"):
        find_checkpoint(tmp_path, "best")
    with pytest.raises(deeplab.DeepLabError, match="choices: latest, best, or .* ckpt-7"):
        find_checkpoint(tmp_path, "ckpt-9")
    prefix = str(tmp_path / "checkpoints" / "ckpt-7")
    assert find_checkpoint(tmp_path, f"{prefix}.index").prefix == prefix


DESCRIPTION = ModelDescription(
    config=deeplab.ModelConfig("mobilenet_v2", num_classes=2, atrous_rates=(6, 12)),
    class_names=("a", "b"),
    colors=((0, 0, 0), (255, 0, 0)),
    ignore_label=255,
    pad_value=(127.5, 127.5, 127.5),
    weights_source="seed 0",
    training={"seed": 0},
)


def test_model_json_round_trip(tmp_path: Path) -> None:
    with_masks = dataclasses.replace(
        DESCRIPTION, mask_ignore=0, mask_colors=((9, 9, 9), (255, 0, 0))
    )
    for description in (DESCRIPTION, with_masks):
        write_description(tmp_path, description)
        assert read_description(tmp_path) == description


def test_model_json_of_an_earlier_version(tmp_path: Path) -> None:
    values = json.loads(DESCRIPTION.to_json())
    for name in ("weights_group", "mask_ignore", "mask_colors"):
        del values[name]
    (tmp_path / "model.json").write_text(json.dumps(values))
    assert read_description(tmp_path) == DESCRIPTION


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "format version None"),
        ('{"format_version": 99}', "format version 99; this version reads 1"),
        ('{"format_version": 1}', "is damaged: KeyError"),
        (
            dataclasses.replace(DESCRIPTION, weights_group="average").to_json(),
            "is damaged: weights_group is 'average', not one of model, ema",
        ),
        (
            dataclasses.replace(DESCRIPTION, mask_colors=((0, 0, 0),)).to_json(),
            "is damaged: it has 1 mask_colors for 2 classes",
        ),
    ],
)
def test_damaged_model_json(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(deeplab.DeepLabError, match=message):
        read_description(tmp_path)


def test_model_json_of_a_later_version_names_the_setting(tmp_path: Path) -> None:
    values = json.loads(DESCRIPTION.to_json())
    values["config"]["hypercolumns"] = True
    (tmp_path / "model.json").write_text(json.dumps(values))
    with pytest.raises(deeplab.DeepLabError, match="unknown model settings hypercolumns"):
        read_description(tmp_path)


def test_not_a_model_folder(tmp_path: Path) -> None:
    with pytest.raises(deeplab.DeepLabError, match="it has no model.json"):
        read_description(tmp_path)
    with pytest.raises(deeplab.DeepLabError, match="it does not exist"):
        read_description(tmp_path / "nowhere")


def test_new_directory_replaces_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    for text in ("one", "two"):
        with files.new_directory(target) as folder:
            (folder / f"{text}.txt").write_text(text)
    assert [path.name for path in target.iterdir()] == ["two.txt"]
    assert [path.name for path in target.parent.iterdir()] == ["folder"]


def test_new_directory_leaves_nothing_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), files.new_directory(tmp_path / "deep" / "folder") as folder:
        (folder / "half.txt").write_text("half")
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_write_text_keeps_the_old_file_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "file.txt"
    files.write_text(path, "old \udcff")  # of a file name that is not UTF-8
    with monkeypatch.context() as broken, pytest.raises(deeplab.DeepLabError, match="file.txt"):
        broken.setattr(os, "replace", fail)
        files.write_text(path, "new")
    assert path.read_text() == "old \\udcff"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(deeplab.DeepLabError, match="cannot write"):
        files.write_text(tmp_path / "missing" / "file.txt", "text")
