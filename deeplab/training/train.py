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
from deeplab.data import (
    DATASETS,
    PreparedDataset,
    TrainingStream,
    load_dataset,
    naming_unreadable,
)
from deeplab.errors import DeepLabError
from deeplab.model_dir import (
    Checkpoint,
    exclusive,
    has_description,
    read_description,
    recover,
)
from deeplab.models import ModelConfig, with_input_channels, with_num_classes
from deeplab.progress import warn
from deeplab.training.config import TrainConfig
from deeplab.training.distribution.cluster import resolve_cluster
from deeplab.training.distribution.strategies import check_strategy, make_strategy
from deeplab.training.distribution.workers import Workers, join, start_seconds
from deeplab.training.initial_weights import IMPORT_REPORT, set_initial_weights
from deeplab.training.jit_compile import compiles
from deeplab.training.learner import make_learner
from deeplab.training.loop import run_loop, training_batches
from deeplab.training.monitoring.start_clock import StartClock
from deeplab.training.optimization.schedules import is_zero
from deeplab.training.run import Run
from deeplab.training.run_settings import (
    check_agreement,
    check_resumable,
    check_start,
    resolved_settings,
    write_settings,
)
from deeplab.training.validation import is_evaluation_missing


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
    clock = StartClock()
    found_cluster = resolve_cluster(cluster)
    check_strategy(strategy, found_cluster)
    model_dir = Path(model_dir).absolute()
    if (model_dir / IMPORT_REPORT).exists():
        raise DeepLabError(
            f"{model_dir} holds imported weights; train in another folder with "
            f"--init_from={model_dir}"
        )
    saved = read_description(model_dir).training if has_description(model_dir) else None
    if saved is not None:
        data_dir = data_dir or saved["data_dir"]
        source_dir = source_dir or saved["source_dir"]
    threads = _be_deterministic(config.seed) if deterministic else None
    check_start(config, model_dir, saved, threads, init_from)
    needed = _needed_splits(config)
    with join(found_cluster) as workers:
        with workers.limit(start_seconds(), "TensorFlow did not connect all workers"):
            tf_strategy, line = make_strategy(strategy, workers.cluster)
        compiles(config, tf_strategy)  # refuses what is not possible, before any data is read
        print(line if workers.is_chief else f"{workers.name}: {line}", flush=True)
        with workers.only_chief_prints(), _own_folder(model_dir, workers):
            latest = workers.chief_first("looking at checkpoints", lambda: _recover(model_dir))
            dataset = workers.chief_first(
                "preparing the data",
                lambda: load_dataset(
                    config.data.dataset,
                    data_dir=data_dir,
                    source_dir=source_dir,
                    splits=needed,
                    num_classes=config.model.num_classes,
                    input_channels=config.model.input_channels,
                ),
            )
            source = f"the data set {dataset.name!r}"
            model_config = with_num_classes(config.model, dataset.num_classes, source=source)
            model_config = with_input_channels(model_config, dataset.input_channels, source=source)
            splits = [dataset.find_split(split, split) for split in needed]
            with naming_unreadable(dataset, *splits):
                for split in splits[1:]:  # else a missing file is noticed at the first evaluation
                    dataset.reader(split)
                stream = _checked_stream(config, model_config, dataset, tf_strategy, workers)
                settings = resolved_settings(config, model_config, dataset, threads)
                check_agreement(workers, settings, dataset, latest, init_from)
                if saved is not None and latest is not None:
                    for line in check_resumable(saved, settings, model_dir=str(model_dir)):
                        print(f"changed: {line}", flush=True)
                    if _is_finished(config, model_dir, saved, latest):
                        print(
                            f"{model_dir} has been trained for {latest.step} steps: nothing to do"
                        )
                        return
                clock.lap("data")
                run = Run(
                    **vars(make_learner(config, model_config, tf_strategy)),
                    model_dir=model_dir,
                    dataset=dataset,
                    stream=stream,
                    workers=workers,
                )
                clock.lap("network")
                start = set_initial_weights(run, latest, init_from)
                clock.lap("weights")
                if is_zero(config.schedule, base_learning_rate=config.optimizer.base_learning_rate):
                    print("learning rate 0: trainable weights stay as they are", flush=True)
                # Before anything is written: images that are kept in memory may be damaged, and an
                # augmentation may not be for images of so many channels.
                batches = training_batches(run)
                if run.is_chief:
                    write_settings(run, settings, start, recorded_files or {}, latest)
                run_loop(run, batches, clock)


def _is_finished(
    config: TrainConfig, model_dir: Path, saved: Mapping[str, Any], latest: Checkpoint
) -> bool:
    # A run that was stopped in its last evaluation still owes it.
    owes = saved["eval_steps"] and is_evaluation_missing(config, model_dir, latest.step)
    return latest.step >= config.train_steps and not owes


def _checked_stream(
    config: TrainConfig,
    model_config: ModelConfig,
    dataset: PreparedDataset,
    strategy: tf.distribute.Strategy,
    workers: Workers,
) -> TrainingStream:
    """The training images, of which none is read yet; refuses settings that do not fit them."""
    config.loss.check_num_classes(dataset.num_classes)
    replicas = strategy.num_replicas_in_sync
    stream = TrainingStream(
        dataset,
        config.data,
        global_batch_size=config.global_batch_size,
        pad_value=model_config.pad_value,
        seed=config.seed,
        worker_index=workers.index,
        num_workers=workers.count,
        replicas_per_worker=replicas // workers.count,
    )
    images = config.global_batch_size // replicas
    if images % config.accumulation_steps:
        raise DeepLabError(
            f"accumulation_steps is {config.accumulation_steps}, which does not divide the "
            f"{images} images of a replica (global_batch_size {config.global_batch_size}, "
            f"{replicas} replicas)"
        )
    return stream


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


def _recover(model_dir: Path) -> Checkpoint | None:
    latest, lines = recover(model_dir)
    for line in lines:
        warn(line)
    return latest
