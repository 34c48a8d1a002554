"""Which devices get a compiled step, and what is said when there can be none."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import create_autospec

import pytest
import tensorflow as tf
from replicas import mirrored, one_device
from tiny_training import CONFIG, MODEL

import deeplab
from deeplab.training import learner
from deeplab.training.jit_compile import compiles

COMPILED = dataclasses.replace(
    CONFIG, model=dataclasses.replace(MODEL, dropout_rate=0.0), train_steps=2, jit_compile=True
)


def test_a_cpu_compiles_when_it_is_told_to() -> None:
    assert not compiles(CONFIG, one_device())
    assert compiles(COMPILED, one_device())


def test_one_gpu_compiles_and_several_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert compiles(CONFIG, one_device())
    assert not compiles(CONFIG, mirrored())


def test_a_tpu_compiles_by_itself() -> None:
    tpu = create_autospec(tf.distribute.TPUStrategy, instance=True)
    assert not compiles(COMPILED, tpu) and not compiles(CONFIG, tpu)
    with pytest.raises(deeplab.DeepLabError, match="jit_compile is False, but a TPU"):
        compiles(dataclasses.replace(CONFIG, jit_compile=False), tpu)


def test_replicas_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(deeplab.DeepLabError, match="jit_compile is True, but there are 2 replicas"):
        deeplab.train(
            COMPILED, model_dir=tmp_path / "run", source_dir="nowhere", strategy="mirrored"
        )
    assert not (tmp_path / "run").exists()


def test_only_three_values() -> None:
    with pytest.raises(deeplab.DeepLabError, match="jit_compile must be 'auto', True or False"):
        dataclasses.replace(CONFIG, jit_compile="yes")


@pytest.mark.slow
@pytest.mark.usefixtures("shallow_backbone")
def test_a_compiled_run_has_the_losses_of_a_plain_one(
    folders: Mapping[str, str], tmp_path: Path
) -> None:
    losses = []
    for jit_compile in (True, False):
        model_dir = tmp_path / str(jit_compile)
        config = dataclasses.replace(COMPILED, jit_compile=jit_compile)
        deeplab.train(config, model_dir=model_dir, **folders)
        history = json.loads((model_dir / "history.json").read_text())
        losses.append([row["loss"] for row in history["train"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and len(losses[0]) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("shallow_backbone")
def test_a_step_that_cannot_be_compiled_names_the_setting(
    folders: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spelled(labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        text = tf.strings.as_string(tf.reduce_mean(logits))
        return tf.reduce_mean(logits) + 0 * tf.strings.to_number(text)

    monkeypatch.setattr(learner, "make_loss", lambda *arguments, **settings: spelled)
    with pytest.raises(deeplab.DeepLabError, match="jit_compile is True, but XLA cannot compile"):
        deeplab.train(COMPILED, model_dir=tmp_path / "run", **folders)
