"""Watching a run whose checkpoints come and go."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_dirs import TINY, make_model_dir

import deeplab
from deeplab.errors import DeepLabError
from deeplab.evaluation import watch as module
from deeplab.evaluation.watch import watch
from deeplab.model_dir import (
    exclusive,
    find_checkpoint,
    list_checkpoints,
    load_model,
    read_description,
    save_checkpoint,
    write_description,
)
from deeplab.models import variables_by_path

TRAINING = {"train_steps": 40, "eval_steps": 0}
BEST = "checkpoints/best"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 40 steps with the checkpoint of step 10."""
    make_model_dir(tmp_path / "run", training=TRAINING, step=10, **TINY)
    return tmp_path / "run"


def save(run: Path, step: int, keep: int = 5) -> None:
    """A checkpoint whose first bias is its step."""
    model = load_model(run)
    variables = variables_by_path(model)
    variables["logits/bias"].assign([step, 0, 0])
    save_checkpoint(run / "checkpoints", step, {"model": variables}, keep=keep)


def measuring(
    scores: dict[int, float | None], then: Callable[[int], None] = lambda step: None
) -> tuple[Callable[[str], dict[str, Any]], list[int]]:
    """A measure with these mIoUs, and the steps that it saw; `then` happens after each."""
    seen: list[int] = []

    def measure(prefix: str) -> dict[str, Any]:
        step = find_checkpoint("nowhere", prefix).step
        seen.append(step)
        metrics = {"miou": scores[step], "pixel_accuracy": 0.5, "mean_accuracy": 0.5}
        then(step)
        return {**metrics, "num_images": 3, "checkpoint_step": step, "flip": False}

    return measure, seen


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)


def best_of(run: Path) -> tuple[int, float]:
    """The step of the best checkpoint, and the bias in it."""
    model = load_model(run, checkpoint="best")
    bias = variables_by_path(model)["logits/bias"].numpy()
    return find_checkpoint(run, "best").step, float(bias[0])


@pytest.mark.slow
def test_each_checkpoint_until_the_last_step_and_the_best_stays(run: Path):
    coming = {10: 20, 20: 30, 30: 40}

    def train_on(step: int) -> None:
        if step in coming:
            save(run, coming[step], keep=1)  # the one that is being evaluated goes

    measure, seen = measuring({10: None, 20: 0.3, 30: 0.6, 40: 0.5}, train_on)
    lines: list[str] = []
    metrics = watch(run, measure, timeout=60, report=lines.append)
    assert seen == [10, 20, 30, 40]
    assert metrics["checkpoint_step"] == 30
    assert best_of(run) == (30, 30.0)
    assert json.loads((run / BEST / "metrics.json").read_text()) == metrics
    assert [line.endswith("the best so far") for line in lines] == [False, True, True, False]
    assert lines[2].startswith("step 30: mIoU 0.6000")
    assert not list(run.glob(".watch*"))
    # A second watch knows the best, and looks at what is there.
    measure, seen = measuring({40: 0.5})
    assert watch(run, measure, timeout=60)["checkpoint_step"] == 30
    assert seen == [40] and best_of(run) == (30, 30.0)


def test_a_best_checkpoint_that_nobody_knows_is_measured_first(run: Path):
    save(run, 40)
    variables = variables_by_path(load_model(run))
    save_checkpoint(run / BEST, 25, {"model": variables}, keep=1)
    measure, seen = measuring({25: 0.9, 10: 0.1, 40: 0.8})
    assert watch(run, measure, timeout=60)["checkpoint_step"] == 25
    assert seen == [25, 10, 40]
    assert find_checkpoint(run, "best").step == 25


def test_one_that_is_deleted_before_it_is_read_is_passed_over(
    run: Path, monkeypatch: pytest.MonkeyPatch
):
    save(run, 40)
    listed = list_checkpoints(run / "checkpoints")
    (run / "checkpoints" / "ckpt-10.index").unlink()
    monkeypatch.setattr(
        module, "list_checkpoints", lambda folder: [] if folder.name == "best" else listed
    )
    measure, seen = measuring({40: 0.8})
    lines: list[str] = []
    watch(run, measure, timeout=60, report=lines.append)
    assert seen == [40] and lines[0] == "step 10: deleted before it could be read"


def test_it_ends_when_no_checkpoint_comes(run: Path):
    measure, seen = measuring({10: 0.2})
    lines: list[str] = []
    assert watch(run, measure, timeout=0.05, report=lines.append)["miou"] == 0.2
    assert seen == [10] and "no new checkpoint in 0.05 seconds" in lines[-1]
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(DeepLabError, match="had no checkpoint to evaluate in 0.05 seconds"):
        watch(run, measure, timeout=0.05)


def test_runs_that_are_not_watched(run: Path, tmp_path: Path):
    measure, seen = measuring({})
    description = read_description(run)
    write_description(run, dataclasses.replace(description, training={**TRAINING, "eval_steps": 9}))
    with pytest.raises(DeepLabError, match="evaluates by itself every 9 steps"):
        watch(run, measure)
    write_description(run, dataclasses.replace(description, training=None))
    with pytest.raises(DeepLabError, match="was imported"):
        watch(run, measure)
    write_description(run, description)
    (run / "eval").mkdir()
    with exclusive(run / "eval"), pytest.raises(DeepLabError, match="another process evaluates in"):
        watch(run, measure)
    for settings in ({"checkpoint": "best", "model_dir": run}, {"onnx": tmp_path / "x.onnx"}):
        with pytest.raises(DeepLabError, match="watch takes each checkpoint of a model_dir"):
            deeplab.evaluate(**settings, watch=True)
    assert seen == []


def test_the_best_by_another_evaluation_is_not_replaced(run: Path):
    watch(run, measuring({10: 0.2})[0], timeout=0.01)
    path = run / BEST / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "flip": True}))
    with pytest.raises(DeepLabError, match="best by another evaluation"):
        watch(run, measuring({10: 0.9})[0], timeout=0.01)
