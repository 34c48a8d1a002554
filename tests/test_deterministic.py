"""A deterministic run is the same to the bit, whether or not it was killed on the way."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from source_folders import make_folder, numbered

pytestmark = pytest.mark.slow

STEPS = 8
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


@pytest.mark.parametrize("settings", [[], EVERYTHING], ids=["plain", "everything"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, settings: list[str]) -> None:
    flags = [f"--gin_bindings={setting}" for setting in settings]
    make_folder(tmp_path / "source", numbered(6, (40, 48)))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(tmp_path, whole, *flags), check=True, capture_output=True)

    process = subprocess.Popen(command(tmp_path, killed, *flags), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (killed / "checkpoints" / "ckpt-2.index").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (killed / "checkpoints" / f"ckpt-{STEPS}.index").exists()

    without = [flag for flag in command(tmp_path, killed, *flags) if flag != "--deterministic"]
    refused = subprocess.run(without, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "deterministic_threads was" in refused.stderr

    resumed = subprocess.run(
        command(tmp_path, killed, *flags), check=True, capture_output=True, text=True
    )
    assert "resuming from step" in resumed.stdout
    for suffix in ("index", "data-00000-of-00001"):
        name = f"ckpt-{STEPS}.{suffix}"
        expected = (whole / "checkpoints" / name).read_bytes()
        assert (killed / "checkpoints" / name).read_bytes() == expected, name
