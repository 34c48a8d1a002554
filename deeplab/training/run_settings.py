"""The settings of a run: what its folder records of them, and whether it may go on with others."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

import deeplab
from deeplab import files
from deeplab.data import PreparedDataset
from deeplab.errors import DeepLabError
from deeplab.model_dir import (
    CHECKPOINT_FOLDER,
    Checkpoint,
    ModelDescription,
    list_checkpoints,
    write_description,
)
from deeplab.models import ModelConfig
from deeplab.training.config import TrainConfig, default_settings
from deeplab.training.distribution.cluster import Cluster
from deeplab.training.distribution.workers import Workers
from deeplab.training.initial_weights import StartingPoint, find_start, weights_digest
from deeplab.training.run import Run

# The only settings that may differ from what was saved; the schedule follows train_steps.
CHANGEABLE = ("train_steps", "checkpoint_steps", "eval_steps", "profile_steps")

# Where files lie may differ between machines and calls.
_LOCAL = ("data_dir", "source_dir")


def resolved_settings(
    config: TrainConfig,
    model_config: ModelConfig,
    dataset: PreparedDataset,
    threads: int | None,
) -> dict[str, Any]:
    """Everything that decides what a run computes, and where its data lies, as plain values."""
    return {
        **config.to_dict(),
        "model": model_config.to_dict(),
        "class_names": list(dataset.class_names),
        "data_dir": dataset.data_dir,
        "source_dir": dataset.source_dir,
        "deterministic_threads": threads,
    }


def check_start(
    config: TrainConfig,
    model_dir: Path,
    saved: Mapping[str, Any] | None,
    threads: int | None,
    init_from: str | None,
) -> None:
    """Refuses, before any data is prepared, what needs no data to be refused.

    Raises:
        DeepLabError: if the weights to start from do not fit, or a setting has changed that may
            not.
    """
    if not list_checkpoints(model_dir / CHECKPOINT_FOLDER):
        if init_from:
            find_start(config.model.backbone, init_from)
    elif saved is not None:
        # The data set may still have other classes or channels than before: compared later.
        model = config.model.to_dict()
        for name in ("num_classes", "input_channels"):
            model[name] = model[name] or saved["model"].get(name)
        wanted = {**config.to_dict(), "model": model, "deterministic_threads": threads}
        before = {name: saved[name] for name in wanted if name in saved}
        check_resumable(before, wanted, model_dir=str(model_dir))


def check_resumable(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], *, model_dir: str
) -> list[str]:
    """Compares what a run was told with what it is told now.

    Args:
        saved: nested settings of the run, as stored in model.json. One that did not exist when the
            run began has its default.
        wanted: the same of this call.
        model_dir: for the message.

    Returns:
        One line for each change that is allowed.

    Raises:
        DeepLabError: for a change that is not; the message names all of them.
    """
    after = _flat(wanted)
    missing = {name: value for name, value in _flat(default_settings()).items() if name in after}
    before = {**missing, **_flat(saved)}
    changed = {
        name: f"{name} was {before.get(name)!r}, is {after.get(name)!r}"
        for name in sorted({*before, *after}.difference(_LOCAL))
        if before.get(name) != after.get(name)
    }
    refused = [line for name, line in changed.items() if name not in CHANGEABLE]
    if refused:
        raise DeepLabError(
            f"cannot resume {model_dir}: {'; '.join(refused)} (to start a new run from its "
            "weights: --init_from)"
        )
    return [changed[name] for name in CHANGEABLE if name in changed]


def check_agreement(
    workers: Workers,
    settings: Mapping[str, Any],
    dataset: PreparedDataset,
    latest: Checkpoint | None,
    init_from: str | None,
) -> None:
    """Makes sure that all workers train the same, from the same weights.

    Raises:
        DeepLabError: naming the worker and the setting that differs from the chief's.
    """
    own = {
        **{name: value for name, value in _flat(settings).items() if name not in _LOCAL},
        "the images of the splits": dataset.splits,
        "the step of the latest checkpoint in model_dir": latest.step if latest else None,
        # Machines with disks of their own each have a copy.
        "the sum of the weights of --init_from": (
            weights_digest(init_from) if init_from and not latest and workers.count > 1 else None
        ),
        "TensorFlow's version": tf.__version__,
        "the version of deeplab": deeplab.__version__,
    }
    workers.combine("settings", own, lambda values: check_same(values, workers.cluster))


def check_same(values: Sequence[Mapping[str, Any]], cluster: Cluster | None) -> None:
    """Makes sure that all workers brought the same.

    Args:
        values: of each worker, by name.
        cluster: for the message.

    Raises:
        DeepLabError: naming the first worker that did not, and what differs.
    """
    for index, value in enumerate(values):
        for name, expected in values[0].items():
            if value.get(name) != expected and cluster is not None:
                raise DeepLabError(
                    f"{cluster.name(index)}: {name} is {value.get(name)!r} there and "
                    f"{expected!r} at the chief; all workers need the same"
                )


def write_settings(
    run: Run,
    settings: Mapping[str, Any],
    start: StartingPoint,
    recorded_files: Mapping[str, str],
    latest: Checkpoint | None,
) -> None:
    """Writes model.json and the recorded files; texts that change are kept by step."""
    config = run.model.model_config
    description = ModelDescription(
        config=config,
        class_names=run.dataset.class_names,
        colors=run.dataset.colors,
        ignore_label=run.dataset.ignore_label,
        mask_ignore=run.dataset.mask_ignore,
        mask_colors=run.dataset.mask_colors,
        pad_value=config.pad_value,
        weights_source=start.source,
        batch_norm_folded=start.batch_norm_folded,
        weights_group=run.weights_group,
        training=settings,
    )
    for name, text in recorded_files.items():
        path = run.model_dir / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            step = latest.step if latest else 0
            os.replace(path, path.with_name(f"{path.stem}.{step}{path.suffix}"))
        files.write_text(path, text)
    write_description(run.model_dir, description)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name, such as "model.backbone", in the form that JSON gives them."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{name}."))
        else:
            # JSON knows no tuples.
            found[name] = list(value) if isinstance(value, tuple) else value
    return found
