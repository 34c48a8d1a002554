"""A deterministic run is the same to the bit, whether or not it was killed, anywhere on the way."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from source_folders import make_folder, numbered

pytestmark = pytest.mark.slow

STEPS = 14
SETTINGS = [
    "CROP_SIZE=33",
    "GLOBAL_BATCH_SIZE=2",
    f"TRAIN_STEPS={STEPS}",
    "CHECKPOINT_STEPS=1",
    "EVAL_STEPS=0",
    "ModelConfig.depth_multiplier=0.35",
    "ModelConfig.aspp_channels=16",
    "ModelConfig.decoder_channels=16",
]


# Whatever has a state of its own.
EVERYTHING = [
    "OptimizerConfig.clip_norm=1.0",
    "ScheduleConfig.kind='cosine'",
    "ScheduleConfig.warmup_steps=3",
    "TrainConfig.accumulation_steps=2",
    "TrainConfig.ema_decay=0.9",
    "TrainConfig.precision='mixed_float16'",
    "TrainConfig.rematerialize=True",
]


def command(root: Path, model_dir: Path, *flags: str) -> list[str]:
    return [
        *(sys.executable, "-m", "deeplab", "train", "--deterministic", f"--model_dir={model_dir}"),
        *("--gin_file=runs/folder_mobilenet_v2.gin", f"--source_dir={root / 'source'}"),
        f"--data_dir={root / 'data'}",
        *(f"--gin_bindings={setting}" for setting in SETTINGS),
        *flags,
    ]


def wait_until(process: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not happened():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    flags = [f"--gin_bindings={setting}" for setting in EVERYTHING]
    make_folder(tmp_path / "source", numbered(6, (40, 48)))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(tmp_path, whole, *flags), check=True, capture_output=True)

    seed = random.randrange(2**32)
    print(f"seed {seed}")
    delay = random.Random(seed).uniform
    checkpoints = killed / "checkpoints"

    # Before there is a checkpoint: nothing to keep, and nothing in the way of the next start.
    with subprocess.Popen(command(tmp_path, killed, *flags), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline().startswith(b"strategy")
        time.sleep(delay(0, 2))
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143

    # Anywhere in a step or between two of them.
    with subprocess.Popen(command(tmp_path, killed, *flags), stdout=subprocess.DEVNULL) as process:
        saved = len(list(checkpoints.glob("*.index")))
        wait_until(process, lambda: len(list(checkpoints.glob("*.index"))) > saved)
        time.sleep(delay(0, 0.3))
        process.kill()

    # While a checkpoint is being written.
    with subprocess.Popen(command(tmp_path, killed, *flags), stdout=subprocess.DEVNULL) as process:
        before = {path.name for path in checkpoints.glob("ckpt-*_temp")}
        wait_until(
            process,
            lambda: bool({path.name for path in checkpoints.glob("ckpt-*_temp")} - before),
        )
        time.sleep(delay(0, 0.02))
        process.kill()
    assert not (checkpoints / f"ckpt-{STEPS}.index").exists()

    without = [flag for flag in command(tmp_path, killed, *flags) if flag != "--deterministic"]
    refused = subprocess.run(without, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "deterministic_threads was" in refused.stderr

    resumed = subprocess.run(
        command(tmp_path, killed, *flags), check=True, capture_output=True, text=True
    )
    assert "resuming from step" in resumed.stdout
    assert not list(checkpoints.glob("*_temp")) and not list(checkpoints.glob(".*"))
    for suffix in ("index", "data-00000-of-00001"):
        name = f"ckpt-{STEPS}.{suffix}"
        expected = (whole / "checkpoints" / name).read_bytes()
        assert (checkpoints / name).read_bytes() == expected, name
