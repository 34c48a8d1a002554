"""The weights that a run goes on from, and how its batch norm treats them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

from deeplab.errors import DeepLabError
from deeplab.model_dir import (
    Checkpoint,
    ModelDescription,
    find_checkpoint,
    read_description,
    read_variable,
    restore_checkpoint,
    stored_shapes,
)
from deeplab.models import (
    DeepLabModel,
    ModelConfig,
    inflated,
    is_inflatable,
    variables_by_path,
)
from deeplab.training.batch_norm import batch_norms, folded_batch_norms, freeze, measure_statistics
from deeplab.training.distribution.workers import Workers
from deeplab.training.run import Run

IMPORT_REPORT = "import.json"
_BACKBONE = "backbone"

Shapes = Mapping[str, tuple[int, ...]]


class StartingPoint(NamedTuple):
    """The first weights of a run.

    Attributes:
        source: where they came from, in words.
        batch_norm_folded: whether they came without the statistics of batch norm.
    """

    source: str
    batch_norm_folded: bool


def set_initial_weights(
    run: Run, latest: Checkpoint | None, init_from: str | None
) -> StartingPoint:
    """Resumes, or starts from another model, or from scratch; prints and says which.

    Raises:
        DeepLabError: if the other model does not fit.
    """
    if latest is not None:
        restore_checkpoint(latest, run.checkpoint_groups())
        print(f"resuming from step {latest.step}", flush=True)
        if init_from:
            print(f"--init_from={init_from} has no effect on a run that is resumed", flush=True)
        description = read_description(run.model_dir)
        start = StartingPoint(description.weights_source, description.batch_norm_folded)
        _set_up_batch_norm(run, start, is_new=False)
        return start
    if init_from:
        start = initialize_from(run.model, init_from)
    else:
        start = StartingPoint(f"random initial values of seed {run.config.seed}", False)
    print(f"weights: {start.source}", flush=True)
    start = start._replace(batch_norm_folded=_set_up_batch_norm(run, start, is_new=True))
    if run.average:
        run.average.start()
    return start


def _set_up_batch_norm(run: Run, start: StartingPoint, *, is_new: bool) -> bool:
    """Freezes batch norm, or measures statistics that had been folded away; are they still so?"""
    for layer in batch_norms(run.model):
        layer.synchronized = run.config.sync_batch_norm
    wanted = run.config.train_batch_norm
    if wanted is False:
        freeze(batch_norms(run.model))
        print("batch norm: frozen", flush=True)
    elif wanted is None and start.batch_norm_folded:
        layers = folded_batch_norms(run.model)
        freeze(layers)
        print(
            f"batch norm: frozen in the {len(layers)} layers whose weights came without statistics",
            flush=True,
        )
    elif start.batch_norm_folded and is_new:
        count = measure_statistics(run.model, run.stream.batches()) * run.workers.count
        average_over_workers(run.model, run.strategy, run.workers)
        print(f"batch norm: statistics measured on {count} training images", flush=True)
        return False
    return start.batch_norm_folded


def average_over_workers(
    model: keras.Model, strategy: tf.distribute.Strategy, workers: Workers
) -> None:
    """Gives all workers the mean of what each has computed for the weights of a model."""
    if workers.count == 1:
        return
    variables = [variable.value for variable in model.weights]

    def mean() -> list[tf.Tensor]:
        replicas = tf.distribute.get_replica_context()
        return replicas.all_reduce("MEAN", [tf.identity(variable) for variable in variables])

    means = tf.function(lambda: strategy.run(mean))()
    for variable, value in zip(variables, means, strict=True):
        variable.assign(strategy.experimental_local_results(value)[0])


def find_start(backbone: str, model_dir: str) -> tuple[ModelDescription, Checkpoint]:
    """The model of another folder, which needs no data to be refused.

    Raises:
        DeepLabError: if there is none, or it has another backbone.
    """
    other = read_description(model_dir)
    if other.config.backbone != backbone:
        raise DeepLabError(
            f"cannot start from {model_dir}: its backbone is {other.config.backbone}, "
            f"this run's is {backbone}"
        )
    return other, find_checkpoint(model_dir)


def weights_digest(model_dir: str) -> str:
    """A sum of the weights that `initialize_from` may load, wherever the folder lies.

    Raises:
        DeepLabError: if there are none.
    """
    group = read_description(model_dir).weights_group
    checkpoint = find_checkpoint(model_dir)
    never_loaded = _left_fresh(Path(model_dir))
    found = hashlib.sha256()
    for of_group, path in sorted(stored_shapes(checkpoint)):
        if of_group == group and path.split("/")[0] not in never_loaded:
            found.update(path.encode())
            found.update(read_variable(checkpoint, group, path).tobytes())
    return found.hexdigest()


def initialize_from(model: DeepLabModel, model_dir: str) -> StartingPoint:
    """Loads the weights of another model folder, their moving average if it has one, by parts.

    The backbone must fit. A part of the head (aspp, decoder, logits ...) in which a variable is
    missing or has another shape, as the last layer for another class count, stays as it is; so does
    one that an import left fresh.

    Returns:
        What was loaded and what was not.

    Raises:
        DeepLabError: if the other model has another backbone, or one of other widths.
    """
    other, checkpoint = find_start(model.model_config.backbone, model_dir)
    group = other.weights_group
    never_loaded = _left_fresh(Path(model_dir))
    stored = {
        path: shape
        for (found, path), shape in stored_shapes(checkpoint).items()
        if found == group and path.split("/")[0] not in never_loaded
    }
    parts: dict[str, dict[str, keras.Variable]] = {}
    for path, variable in variables_by_path(model).items():
        parts.setdefault(path.split("/")[0], {})[path] = variable
    loaded: dict[str, keras.Variable] = {}
    whole, fresh = [], []
    for part, variables in parts.items():
        if misfit := _misfit(part, variables, stored, other, model.model_config):
            fresh.append(misfit)
        else:
            whole.append(part)
            loaded |= variables
    inflate = {
        path: variable
        for path, variable in loaded.items()
        if path in stored and is_inflatable(stored[path], tuple(variable.shape))
    }
    plain = {path: variable for path, variable in loaded.items() if path not in inflate}
    restore_checkpoint(checkpoint, {group: plain})
    for path, variable in inflate.items():
        variable.assign(inflated(read_variable(checkpoint, group, path), variable.shape[2]))
    line = f"{checkpoint.prefix} ({len(loaded)} variables"
    line += f" of {', '.join(whole)}), which came from {other.weights_source}"
    line += "".join(f"; {path} inflated to {v.shape[2]} channels" for path, v in inflate.items())
    if fresh:
        line += f"; fresh: {'; '.join(fresh)}"
    return StartingPoint(line, other.batch_norm_folded)


def _left_fresh(model_dir: Path) -> set[str]:
    """The parts of an imported model of which the import loaded nothing.

    Raises:
        DeepLabError: if the report of the import is damaged.
    """
    file = model_dir / IMPORT_REPORT
    if not file.exists():
        return set()
    try:
        # Imports of the first version did not say.
        return set(json.loads(file.read_text(encoding="utf-8")).get("fresh_parts", ()))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DeepLabError(f"{file} cannot be read: {error!r}") from error


def _misfit(
    part: str,
    variables: Mapping[str, keras.Variable],
    stored: Shapes,
    other: ModelDescription,
    config: ModelConfig,
) -> str | None:
    """Names a part that is not loaded, and says why; None if it fits."""
    shapes = {path: tuple(variable.shape) for path, variable in variables.items()}
    differing = [
        path
        for path, shape in shapes.items()
        if stored.get(path) != shape and not (path in stored and is_inflatable(stored[path], shape))
    ]
    if part == _BACKBONE or not differing:
        return None
    if not any(path in stored for path in shapes):
        return f"{part} ({len(shapes)} variables), which did not come with it"
    if part == "logits" and other.config.num_classes != config.num_classes:
        return (
            f"{', '.join(shapes)}, since it has {other.config.num_classes} classes and this run "
            f"{config.num_classes}"
        )
    path = differing[0]
    there = f"is {list(stored[path])} there" if path in stored else "is missing there"
    return f"{part} ({len(shapes)} variables), since {path} {there} and {list(shapes[path])} here"
