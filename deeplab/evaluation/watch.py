"""Evaluating the checkpoints of a run that trains elsewhere, as they come.

Each new checkpoint is measured; the best by mean IoU stays in `checkpoints/best/`, with its metrics
beside it, by which a watch that starts again knows it. A run that evaluates by itself keeps that
folder, too, and is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deeplab.errors import DeepLabError
from deeplab.evaluation.result_files import METRICS, metrics_json
from deeplab.evaluation.table import headline
from deeplab.files import make_directory, write_text
from deeplab.model_dir import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    Checkpoint,
    exclusive,
    list_checkpoints,
    load_model,
    read_description,
    save_checkpoint,
)
from deeplab.models import variables_by_path

TIMEOUT = 3600.0

_POLL_SECONDS = 5.0
# What two evaluations must share for the better one to be the better model.
_VIEW = ("output_stride", "eval_scales", "flip", "window", "overlap", "pad_to", "dataset", "split")

Measure = Callable[[str], dict[str, Any]]  # prefix of a checkpoint -> metrics.json


def watch(
    model_dir: Path,
    measure: Measure,
    *,
    timeout: float = TIMEOUT,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measures each checkpoint of a run, oldest first, until the last one.

    One that training deletes before it can be read is passed over.

    Args:
        model_dir: folder of the run.
        measure: evaluates one checkpoint.
        timeout: how long to wait for the next checkpoint, in seconds; then this ends, too.
        report: gets a line about each.

    Returns:
        The metrics of the best.

    Raises:
        DeepLabError: if the run evaluates by itself, another process watches it, it is no run, or
            there was no checkpoint in time.
    """
    checkpoints = model_dir / CHECKPOINT_FOLDER
    last_step(model_dir)
    with exclusive(make_directory(model_dir / "eval"), "evaluates"):
        best = _Best(model_dir)
        done = -1
        deadline = time.monotonic() + timeout
        while done < last_step(model_dir):
            new = [found for found in list_checkpoints(checkpoints) if found.step > done]
            if not new:
                if time.monotonic() > deadline:
                    report(f"no new checkpoint in {timeout:g} seconds: the watch ends")
                    break
                time.sleep(_POLL_SECONDS)
                continue
            for found in (*best.unmeasured, *new[:1]):
                with _kept(found, model_dir) as prefix:
                    if prefix is None:
                        report(f"step {found.step}: deleted before it could be read")
                        continue
                    metrics = measure(prefix)
                    is_best = best.add(prefix, metrics)
                    remark = ", the best so far" if is_best else ""
                    report(f"step {found.step}: {headline(metrics)}{remark}")
            done = new[0].step
            deadline = time.monotonic() + timeout
    if best.metrics is None:
        raise DeepLabError(f"{model_dir} had no checkpoint to evaluate in {timeout:g} seconds")
    return dict(best.metrics)


def last_step(model_dir: Path) -> int:
    """The step at which a run ends.

    Raises:
        DeepLabError: if it is no run, or evaluates by itself.
    """
    training = read_description(model_dir).training
    if training is None:
        raise DeepLabError(f"{model_dir} was imported: nothing trains there that could be watched")
    if training["eval_steps"]:
        raise DeepLabError(
            f"the run in {model_dir} evaluates by itself every {training['eval_steps']} steps and "
            "keeps its best checkpoint; only a run with EVAL_STEPS = 0 can be watched"
        )
    return int(training["train_steps"])


class _Best:
    """The checkpoint in `checkpoints/best/`, and what was measured with it."""

    def __init__(self, model_dir: Path) -> None:
        self._model_dir = model_dir
        self._folder = model_dir / CHECKPOINT_FOLDER / BEST_FOLDER
        self._stored = list_checkpoints(self._folder)[-1:]
        self.metrics: Mapping[str, Any] | None = None
        with contextlib.suppress(OSError, ValueError):
            metrics = json.loads((self._folder / METRICS).read_text("utf-8"))
            if [metrics["checkpoint_step"]] == [found.step for found in self._stored]:
                self.metrics = metrics

    @property
    def unmeasured(self) -> list[Checkpoint]:
        """The checkpoint that is there, if nobody knows how good it is."""
        return [] if self.metrics else self._stored

    def add(self, prefix: str, metrics: dict[str, Any]) -> bool:
        """Looks at a checkpoint; the better one stays. Returns whether that is this one."""
        before = self.metrics
        if before is not None and any(before.get(key) != metrics.get(key) for key in _VIEW):
            raise DeepLabError(
                f"{self._folder} is the best by another evaluation, see {METRICS} there; remove "
                "the folder to begin anew"
            )
        if metrics["miou"] is None or (before is not None and metrics["miou"] <= before["miou"]):
            return False
        group = read_description(self._model_dir).weights_group
        model = load_model(self._model_dir, checkpoint=prefix)
        step = metrics["checkpoint_step"]
        save_checkpoint(self._folder, step, {group: variables_by_path(model)}, keep=1)
        write_text(self._folder / METRICS, metrics_json(metrics))
        self.metrics = metrics
        return True


@contextlib.contextmanager
def _kept(checkpoint: Checkpoint, model_dir: Path) -> Iterator[str | None]:
    """The prefix of a copy that training does not delete; None if it already has."""
    with tempfile.TemporaryDirectory(prefix=".watch.", dir=model_dir) as folder:
        source = Path(checkpoint.prefix)
        try:
            files = list(source.parent.glob(f"{source.name}.*"))
            for file in files:
                _link(file, Path(folder) / file.name)
            is_whole = all(file.exists() for file in files) and len(files) > 1
        except FileNotFoundError:
            is_whole = False
        yield str(Path(folder) / source.name) if is_whole else None


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without
        shutil.copyfile(file, target)
