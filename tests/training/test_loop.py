"""What a run shows and leaves while it trains, and how it ends when something goes wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny_training
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from train_steps import Step, changed_step

import deeplab
from deeplab.model_dir import find_checkpoint, list_checkpoints
from deeplab.out_of_memory import explained
from deeplab.training import loop

pytestmark = pytest.mark.usefixtures("shallow_backbone")

CONFIG = dataclasses.replace(
    tiny_training.CONFIG,
    model=dataclasses.replace(tiny_training.MODEL, aspp_channels=8, atrous_rates=(), decoder=False),
    train_steps=3,
    global_batch_size=2,
    checkpoint_steps=1,
    eval_steps=3,
)


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    return accumulator


@pytest.mark.slow
def test_a_run_from_its_first_batch_over_a_damaged_checkpoint_to_the_end(
    folders: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_dir = tmp_path / "run"
    config = dataclasses.replace(CONFIG, profile_steps=(2, 2))
    deeplab.train(config, model_dir=model_dir, **folders)
    printed = capsys.readouterr().out
    assert "first batch: 2 crops of 33x33\n" in printed
    assert f"drawn in {model_dir / 'train' / 'first_batch.png'}\n" in printed
    with Image.open(model_dir / "train" / "first_batch.png") as picture:
        assert picture.width > 2 * 33
    assert list(model_dir.glob("train/plugins/profile/*/*.xplane.pb"))

    history = json.loads((model_dir / "history.json").read_text())
    for row in history["train"]:
        assert 0 <= row["input_wait_share"] <= 1
        assert row["images_per_second"] == pytest.approx(2 * row["steps_per_second"])
    train, evaluation = events(model_dir / "train"), events(model_dir / "eval")
    scalars = {*train.Tags()["tensors"]}
    assert {"first_batch", *history["train"][0]} - {"step"} <= scalars
    assert [event.step for event in train.Tensors("loss")] == [1, 2, 3]
    assert {"miou", "image_label_prediction/0"} <= {*evaluation.Tags()["tensors"]}

    # An accident: the newest checkpoint cut, half an event at the end of the events.
    damaged = Path(find_checkpoint(model_dir).prefix + ".index")
    damaged.write_bytes(damaged.read_bytes()[:50])
    (log,) = model_dir.glob("train/events.*")
    log.write_bytes(log.read_bytes() + b"half an event")
    longer = dataclasses.replace(config, train_steps=4, profile_steps=None)
    deeplab.train(longer, model_dir=model_dir, **folders)
    output = capsys.readouterr()
    assert "ckpt-3 is damaged (" in output.err and "continuing from ckpt-2" in output.err
    assert "resuming from step 2" in output.out
    assert "profile_steps was [2, 2], is None" in output.out
    assert "first batch" not in output.out
    assert [c.step for c in list_checkpoints(model_dir / "checkpoints")] == [1, 2, 3, 4][-3:]
    history = json.loads((model_dir / "history.json").read_text())
    assert [row["step"] for row in history["train"]] == [1, 2, 3, 4]
    assert [event.step for event in events(model_dir / "train").Tensors("loss")][-1] == 4


@pytest.mark.slow
def test_out_of_memory_says_what_to_change(folders: Mapping[str, str], tmp_path: Path) -> None:
    def change(step: Step, model: object) -> Step:
        def out_of_memory(batch: object) -> None:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

        return out_of_memory

    with changed_step(change), pytest.raises(deeplab.DeepLabError) as error:
        deeplab.train(CONFIG, model_dir=tmp_path / "run", **folders)
    message = str(error.value)
    assert "out of memory" in message and "\n" not in message
    for value in ("2 images of 33x33", "0.0 GB", "GLOBAL_BATCH_SIZE", "CROP_SIZE"):
        assert value in message


def test_lack_of_memory_is_told_from_a_full_disk() -> None:
    with (
        pytest.raises(deeplab.DeepLabError, match="^out of memory while testing; buy some$"),
        explained("testing", lambda: "buy some"),
    ):
        np.zeros(1 << 60, np.int8)
    with (
        pytest.raises(deeplab.DeepLabError, match="^the disk is full, while testing$"),
        explained("testing", lambda: "buy some"),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "ckpt; No space left on device")


@pytest.mark.slow  # quick: that they are the same steps (test_device_loop.py)
def test_several_steps_a_call_are_traced_and_timed(
    folders: Mapping[str, str], tmp_path: Path
) -> None:
    config = dataclasses.replace(
        CONFIG,
        train_steps=6,
        steps_per_loop=6,
        checkpoint_steps=6,
        eval_steps=0,
        log_steps=1,
        profile_steps=(3, 4),
    )
    deeplab.train(config, model_dir=tmp_path, **folders)
    assert (tmp_path / "train" / "first_batch.png").exists()
    assert list(tmp_path.glob("train/plugins/profile/*/*.xplane.pb"))
    rows = json.loads((tmp_path / "history.json").read_text())["train"]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    # Calls of 2, 2 and 2 steps: before, in and after the trace.
    speeds = [row["steps_per_second"] for row in rows]
    assert speeds[0::2] == speeds[1::2]


@pytest.mark.slow
def test_an_evaluation_that_was_cut_short_is_made_up_for(
    folders: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Validation, "evaluate", interrupted)
        deeplab.train(dataclasses.replace(CONFIG, eval_steps=3), model_dir=tmp_path, **folders)
    assert find_checkpoint(tmp_path).step == 3
    deeplab.train(dataclasses.replace(CONFIG, eval_steps=3), model_dir=tmp_path, **folders)
    history = json.loads((tmp_path / "history.json").read_text())
    assert [row["step"] for row in history["eval"]] == [3]
    assert find_checkpoint(tmp_path, "best").step == 3


@pytest.mark.slow  # TensorFlow hopes for ten seconds that somebody else frees the memory
def test_a_tensor_that_is_too_large() -> None:
    with (
        pytest.raises(deeplab.DeepLabError, match="^out of memory while testing; buy some$"),
        explained("testing", lambda: "buy some"),
    ):
        tf.zeros([1 << 46], tf.int8)  # 70 TB


def test_weights_that_are_not_finite_are_not_saved(
    folders: Mapping[str, str], tmp_path: Path
) -> None:
    def change(step: Step, model: deeplab.models.DeepLabModel) -> Step:
        def spoilt(batch: object) -> None:
            step(batch)
            # Ctrl-C comes while a step computes: its loss is never seen.
            model.trainable_weights[0].assign(model.trainable_weights[0] * np.nan)
            raise KeyboardInterrupt

        return spoilt

    with changed_step(change), pytest.raises(deeplab.DeepLabError, match="step 1, which is not"):
        deeplab.train(CONFIG, model_dir=tmp_path / "run", **folders)
    assert list_checkpoints(tmp_path / "run" / "checkpoints") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB: some of the checkpoints of the run here fit, more do not."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_loses_nothing(
    folders: Mapping[str, str],
    small_disk: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = dataclasses.replace(CONFIG.model, aspp_channels=512)
    config = dataclasses.replace(
        CONFIG, model=model, keep_checkpoints=9, eval_steps=0, train_steps=9
    )
    with pytest.raises(deeplab.DeepLabError, match="cannot write the checkpoint .*No space left"):
        deeplab.train(config, model_dir=small_disk / "run", **folders)
    saved = list_checkpoints(small_disk / "run" / "checkpoints")
    assert saved and saved[-1].step < 9
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    capsys.readouterr()
    deeplab.train(config, model_dir=small_disk / "run", **folders)
    output = capsys.readouterr()
    assert f"resuming from step {saved[-1].step}" in output.out
    assert "damaged" not in output.err
    assert find_checkpoint(small_disk / "run").step == 9
