"""`train`: from settings to a trained model in a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from deeplab import files
from deeplab.data import DATASETS, PreparedDataset, load_dataset, training_batches
from deeplab.errors import DeepLabError
from deeplab.models import BACKBONES, ModelConfig, build_model, with_num_classes
from deeplab.run_folder import (
    CHECKPOINT_FOLDER,
    Checkpoint,
    ModelDescription,
    exclusive,
    has_description,
    list_checkpoints,
    read_description,
    restore_checkpoint,
    write_description,
)
from deeplab.training.batch_norm import batch_norms, folded_batch_norms, freeze, measure_statistics
from deeplab.training.cluster import Cluster, resolve_cluster
from deeplab.training.config import TrainConfig
from deeplab.training.ending import exit_without_waiting
from deeplab.training.job import (
    average_over_workers,
    check_agreement,
    chief_first,
    only_chief_prints,
)
from deeplab.training.loop import run_loop
from deeplab.training.optimizers import Optimizer
from deeplab.training.resume import check_resumable
from deeplab.training.run import Run
from deeplab.training.schedules import SCHEDULES
from deeplab.training.starting_point import StartingPoint, find_start, initialize_from
from deeplab.training.strategies import check_strategy, make_strategy
from deeplab.training.workers import Workers, join, start_seconds

_IMPORT_REPORT = "import.json"


def train(
    config: TrainConfig,
    *,
    model_dir: str | Path,
    data_dir: str | None = None,
    source_dir: str | None = None,
    strategy: str = "auto",
    cluster: str = "tf_config",
    init_from: str | None = None,
    deterministic: bool = False,
    recorded_files: Mapping[str, str] | None = None,
) -> None:
    """Trains a model, or continues the run that `model_dir` holds.

    Args:
        config: all settings of the run.
        model_dir: where everything of the run goes.
        data_dir: prepared data sets; None: as the run had it, else TFDS' default.
        source_dir: raw files of the data set; None: as the run had it.
        strategy: see `make_strategy`.
        cluster: where the other workers are named, see `resolve_cluster`. Each worker calls this
            function with the same settings; one of them, the chief, prepares the data and writes
            the folder, which all of them read.
        init_from: another model folder whose weights to start from; without effect once the run
            has a checkpoint of its own.
        deterministic: repeatable to the bit on this machine, and slower.
        recorded_files: texts to keep in the folder, by file name; the texts that they replace are
            kept as NAME.<step>.EXTENSION.

    Raises:
        DeepLabError: for anything that cannot be used, when the loss is no longer finite, and when
            another worker is lost. If this worker is then waiting inside TensorFlow, the process
            ends with code 1 instead: nothing else ends that wait. After any error of a job of
            several workers the process ends without waiting for TensorFlow's servers.
    """
    found_cluster = resolve_cluster(cluster)
    check_strategy(strategy, found_cluster)
    model_dir = Path(model_dir).absolute()
    if (model_dir / _IMPORT_REPORT).exists():
        raise DeepLabError(
            f"{model_dir} holds imported weights; train in another folder with "
            f"--init_from={model_dir}"
        )
    saved = read_description(model_dir).training if has_description(model_dir) else None
    if saved is not None:
        data_dir = data_dir or saved["data_dir"]
        source_dir = source_dir or saved["source_dir"]
    threads = _be_deterministic(config.seed) if deterministic else None
    _check_start(config, model_dir, saved, threads, init_from)
    with _ends_promptly(found_cluster), join(found_cluster) as workers:
        with workers.limit(start_seconds(), "TensorFlow did not connect all workers"):
            tf_strategy, line = make_strategy(strategy, workers.cluster)
        print(line if workers.is_chief else f"{workers.name}: {line}", flush=True)
        with only_chief_prints(workers), _own_folder(model_dir, workers):
            latest = _latest(model_dir)
            dataset = chief_first(
                workers,
                "preparing the data",
                lambda: load_dataset(
                    config.data.dataset,
                    data_dir=data_dir,
                    source_dir=source_dir,
                    splits=_needed_splits(config),
                    num_classes=config.model.num_classes,
                ),
            )
            model_config = with_num_classes(
                config.model, dataset.num_classes, source=f"the data set {dataset.name!r}"
            )
            settings = _settings(config, model_config, dataset, threads)
            pad_value = BACKBONES[model_config.backbone].pad_value
            # Before anything is written: a split or a batch size that does not fit fails here.
            if config.eval_steps:
                dataset.find_split(config.data.eval_split, dataset.eval_split)
            training_batches(
                dataset,
                config.data,
                global_batch_size=config.global_batch_size,
                pad_value=pad_value,
                seed=config.seed,
                replicas_per_worker=tf_strategy.num_replicas_in_sync,
            )
            check_agreement(workers, settings, dataset, latest, model_dir)
            if saved is not None and latest is not None:
                folders = {"data_dir": settings["data_dir"], "source_dir": settings["source_dir"]}
                before = {"data_dir": saved["data_dir"], "source_dir": saved["source_dir"]}
                wanted = {**settings, **before}
                for line in check_resumable(saved, wanted, model_dir=str(model_dir)):
                    print(f"changed: {line}", flush=True)
                settings = {**wanted, **folders}
                if latest.step >= config.train_steps:
                    print(f"{model_dir} has been trained for {latest.step} steps: nothing to do")
                    return

            keras.utils.set_random_seed(config.seed)
            with tf_strategy.scope():
                model = build_model(model_config)
                schedule = SCHEDULES[config.schedule.kind](
                    config.schedule,
                    base_learning_rate=config.optimizer.base_learning_rate,
                    train_steps=config.train_steps,
                )
                optimizer = Optimizer(config.optimizer, schedule, model)
            run = Run(
                config,
                model_dir,
                dataset,
                model,
                optimizer,
                tf_strategy,
                pad_value,
                is_chief=workers.is_chief,
                workers=workers,
            )
            start = _load_weights(run, latest, init_from)
            start = _set_up_batch_norm(run, start, is_new=latest is None)
            if run.is_chief:
                _write_settings(run, settings, start, recorded_files or {}, latest)
            run_loop(run)


@contextlib.contextmanager
def _ends_promptly(cluster: Cluster | None) -> Iterator[None]:
    """After an error of a job of several workers the process does not wait at its exit."""
    try:
        yield
    except BaseException as error:
        if cluster is not None:
            exit_without_waiting(error)
        raise


def _check_start(
    config: TrainConfig,
    model_dir: Path,
    saved: Mapping[str, Any] | None,
    threads: int | None,
    init_from: str | None,
) -> None:
    """Refuses, before any data is prepared, what needs no data to be refused."""
    if _latest(model_dir) is None:
        if init_from:
            find_start(config.model.backbone, init_from)
    elif saved is not None:
        # The data set may still have other classes than before: that is compared later.
        num_classes = config.model.num_classes or saved["model"]["num_classes"]
        wanted = {
            **config.to_dict(),
            "model": {**config.model.to_dict(), "num_classes": num_classes},
            "deterministic_threads": threads,
        }
        before = {name: saved.get(name) for name in wanted}
        check_resumable(before, wanted, model_dir=str(model_dir))


def _needed_splits(config: TrainConfig) -> list[str]:
    spec = DATASETS[config.data.dataset]
    splits = [config.data.train_split or spec.train_split]
    if config.eval_steps:
        splits.append(config.data.eval_split or spec.eval_split)
    return splits


def _be_deterministic(seed: int) -> int:
    """Switches TensorFlow to repeatable operations; returns the number of threads."""
    threads = os.cpu_count() or 1
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise DeepLabError(
            "deterministic training must be set up before anything else of TensorFlow runs in "
            "this process"
        ) from error
    return threads


def _settings(
    config: TrainConfig,
    model_config: ModelConfig,
    dataset: PreparedDataset,
    threads: int | None,
) -> dict[str, Any]:
    return {
        **config.to_dict(),
        "model": model_config.to_dict(),
        "class_names": list(dataset.class_names),
        "data_dir": dataset.data_dir,
        "source_dir": dataset.source_dir,
        "deterministic_threads": threads,
    }


@contextlib.contextmanager
def _own_folder(model_dir: Path, workers: Workers) -> Iterator[None]:
    """Makes and locks the folder; takes it away again after an error if no model is in it."""
    if not workers.is_chief:
        yield
        return
    made = files.missing_folders(model_dir)
    files.make_directory(model_dir)
    try:
        with exclusive(model_dir):
            yield
    except BaseException:
        if made and not has_description(model_dir):
            shutil.rmtree(model_dir, ignore_errors=True)
            files.remove_empty(made)
        raise


def _latest(model_dir: Path) -> Checkpoint | None:
    found = list_checkpoints(model_dir / CHECKPOINT_FOLDER)
    return found[-1] if found else None


def _load_weights(run: Run, latest: Checkpoint | None, init_from: str | None) -> StartingPoint:
    """Resumes, or starts from another model, or from scratch; says which."""
    if latest is not None:
        restore_checkpoint(latest, run.checkpoint_groups())
        print(f"resuming from step {latest.step}", flush=True)
        if init_from:
            print(f"--init_from={init_from} has no effect on a run that is resumed", flush=True)
        description = read_description(run.model_dir)
        return StartingPoint(description.weights_source, description.batch_norm_folded)
    if init_from:
        start = initialize_from(run.model, init_from)
    else:
        start = StartingPoint(f"random initial values of seed {run.config.seed}", False)
    print(f"weights: {start.source}", flush=True)
    return start


def _set_up_batch_norm(run: Run, start: StartingPoint, *, is_new: bool) -> StartingPoint:
    """Freezes batch norm, or measures its statistics first where they had been folded away."""
    wanted = run.config.train_batch_norm
    if wanted is False:
        freeze(batch_norms(run.model))
        print("batch norm: frozen", flush=True)
        return start
    if wanted is None and start.batch_norm_folded:
        layers = folded_batch_norms(run.model)
        freeze(layers)
        print(
            f"batch norm: frozen in the {len(layers)} layers whose weights came without statistics",
            flush=True,
        )
        return start
    if start.batch_norm_folded and is_new:
        batches = training_batches(
            run.dataset,
            run.config.data,
            global_batch_size=run.config.global_batch_size,
            pad_value=run.pad_value,
            seed=run.config.seed,
        )
        count = measure_statistics(run.model, batches)
        average_over_workers(run)
        print(f"batch norm: statistics measured on {count} training images", flush=True)
        return StartingPoint(start.source, False)
    return start


def _write_settings(
    run: Run,
    settings: Mapping[str, Any],
    start: StartingPoint,
    recorded_files: Mapping[str, str],
    latest: Checkpoint | None,
) -> None:
    description = ModelDescription(
        config=run.model.model_config,
        class_names=run.dataset.class_names,
        colors=run.dataset.colors,
        ignore_label=run.dataset.ignore_label,
        pad_value=run.pad_value,
        weights_source=start.source,
        batch_norm_folded=start.batch_norm_folded,
        training=settings,
    )
    for name, text in recorded_files.items():
        path = run.model_dir / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            step = latest.step if latest else 0
            os.replace(path, path.with_name(f"{path.stem}.{step}{path.suffix}"))
        files.write_text(path, text)
    write_description(run.model_dir, description)
