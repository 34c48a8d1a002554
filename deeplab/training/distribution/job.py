"""What the workers of a job do before the first step so that they start from the same place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

import deeplab
from deeplab.data import PreparedDataset
from deeplab.model_dir import Checkpoint
from deeplab.training.distribution.workers import Workers, check_same
from deeplab.training.resume import flat
from deeplab.training.run import Run

Result = TypeVar("Result")

# Where files lie may differ between machines.
_LOCAL = ("data_dir", "source_dir")


@contextlib.contextmanager
def only_chief_prints(workers: Workers) -> Iterator[None]:
    """Drops what the other workers would print as well."""
    if workers.is_chief:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def chief_first(workers: Workers, what: str, work: Callable[[], Result]) -> Result:
    """Does something at the chief, then at the others, who find it done.

    Machines with disks of their own then do it each for themselves.

    Raises:
        DeepLabError: as `work` does, on all workers.
    """
    if not workers.is_chief:
        workers.wait(what)
        return work()
    result = work()
    workers.wait(what)
    return result


def check_agreement(
    workers: Workers,
    settings: Mapping[str, Any],
    dataset: PreparedDataset,
    latest: Checkpoint | None,
    model_dir: Path,
) -> None:
    """Makes sure that all workers train the same, from the same checkpoint.

    Raises:
        DeepLabError: naming the worker and the setting that differs from the chief's.
    """
    own = {
        **{name: value for name, value in flat(settings).items() if name not in _LOCAL},
        "the images of the splits": dataset.splits,
        "the step of the latest checkpoint in model_dir": latest.step if latest else None,
        "TensorFlow's version": tf.__version__,
        "the version of deeplab": deeplab.__version__,
    }

    def check(values: list[Mapping[str, Any]]) -> None:
        check_same(values, workers.cluster)

    workers.combine("settings", own, check)


def average_over_workers(run: Run) -> None:
    """Gives all workers the mean of what each has computed for its weights."""
    if run.workers.count == 1:
        return
    variables = [variable.value for variable in run.model.weights]

    def mean() -> list[tf.Tensor]:
        replicas = tf.distribute.get_replica_context()
        return replicas.all_reduce("MEAN", [tf.identity(variable) for variable in variables])

    means = tf.function(lambda: run.strategy.run(mean))()
    for variable, value in zip(variables, means, strict=True):
        variable.assign(run.strategy.experimental_local_results(value)[0])
