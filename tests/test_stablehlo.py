"""The training step as a program that JAX runs without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest
import stablehlo_step
from tiny_training import CONFIG

import deeplab

ROOT = Path(__file__).resolve().parents[1]
JAX = os.environ.get("DEEPLAB_JAX_PYTHON", ROOT / ".venv-jax/bin/python")


@pytest.mark.slow
@pytest.mark.usefixtures("shallow_backbone")
def test_jax_has_the_losses_of_tensorflow(tmp_path: Path) -> None:
    if not os.access(JAX, os.X_OK):
        pytest.skip(f"no JAX at {JAX} (tools/check_stablehlo.sh makes it)")
    config = dataclasses.replace(
        CONFIG,
        model=dataclasses.replace(CONFIG.model, dropout_rate=0.0),
        data=deeplab.DataConfig("folder", crop_size=(65, 49)),
        ema_decay=0.9,
    )
    stablehlo_step.write_step(config, tmp_path, steps=3, num_classes=4)
    words = [JAX, ROOT / "tools/stablehlo_run.py", tmp_path]
    run = subprocess.run(words, stdout=subprocess.PIPE, text=True, env={})
    assert run.returncode == 0, run.stdout
    assert run.stdout.count("in TensorFlow") == 3

    # It does compare.
    path = tmp_path / "step.json"
    step = json.loads(path.read_text())
    for name in ("losses", "losses_of_noise"):
        step[name] = [1.001 * loss for loss in step[name]]
    path.write_text(json.dumps(step))
    assert subprocess.run(words, stdout=subprocess.DEVNULL, env={}).returncode == 1


def test_a_data_set_without_a_class_list_needs_the_number(tmp_path: Path) -> None:
    with pytest.raises(deeplab.DeepLabError, match="'folder' does not state its classes"):
        stablehlo_step.write_step(CONFIG, tmp_path / "step", steps=1)
    assert not (tmp_path / "step").exists()
