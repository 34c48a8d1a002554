"""The settings of a run: what its folder records of them, and whether it may go on with others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deeplab import files
from deeplab.data import PreparedDataset
from deeplab.models import ModelConfig
from deeplab.run_folder import (
    CHECKPOINT_FOLDER,
    Checkpoint,
    ModelDescription,
    list_checkpoints,
    write_description,
)
from deeplab.training.config import TrainConfig
from deeplab.training.initial_weights import StartingPoint, find_start
from deeplab.training.resume import check_resumable
from deeplab.training.run import Run


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
    """Refuses, before any data is prepared, what needs no data to be refused."""
    if not list_checkpoints(model_dir / CHECKPOINT_FOLDER):
        if init_from:
            find_start(config.model.backbone, init_from)
    elif saved is not None:
        # The data set may still have other classes or channels than before: compared later.
        model, before_model = config.model.to_dict(), saved["model"]
        by_data = ("num_classes", "input_channels")
        model |= {name: model[name] or before_model.get(name) for name in by_data}
        wanted = {
            **config.to_dict(),
            "model": model,
            "deterministic_threads": threads,
        }
        before = {name: saved[name] for name in wanted if name in saved}
        check_resumable(before, wanted, model_dir=str(model_dir))


def resumed_settings(
    settings: Mapping[str, Any], saved: Mapping[str, Any], model_dir: Path
) -> dict[str, Any]:
    """The settings of a run that goes on; prints what has changed.

    Raises:
        DeepLabError: if something has changed that may not.
    """
    # Data may move.
    wanted = {**settings, **{name: saved[name] for name in ("data_dir", "source_dir")}}
    for line in check_resumable(saved, wanted, model_dir=str(model_dir)):
        print(f"changed: {line}", flush=True)
    return dict(settings)


def write_settings(
    run: Run,
    settings: Mapping[str, Any],
    start: StartingPoint,
    recorded_files: Mapping[str, str],
    latest: Checkpoint | None,
) -> None:
    """Writes model.json and the recorded files; texts that change are kept by step."""
    description = ModelDescription(
        config=run.model.model_config,
        class_names=run.dataset.class_names,
        colors=run.dataset.colors,
        ignore_label=run.dataset.ignore_label,
        pad_value=run.pad_value,
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
