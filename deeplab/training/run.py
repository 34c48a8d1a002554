"""What a run works on."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from deeplab.data import PreparedDataset, TrainingStream
from deeplab.models import DeepLabModel, InferenceNetwork
from deeplab.training.distribution.workers import Workers
from deeplab.training.learner import Learner


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Learner):
    """Everything that a training run works on: a learner, its data and its place.

    Attributes:
        model_dir: where things are written.
        dataset: prepared records.
        stream: this worker's training batches.
        workers: the other processes that train the same model.
    """

    model_dir: Path
    dataset: PreparedDataset
    stream: TrainingStream
    workers: Workers = dataclasses.field(default_factory=Workers)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes into model_dir and prints; of several workers one does."""
        return self.workers.is_chief

    @property
    def evaluated_model(self) -> DeepLabModel:
        """The model whose weights are to be used: the average, where the run keeps one."""
        return self.average.model if self.average else self.model

    @functools.cached_property
    def network(self) -> InferenceNetwork:
        """`model` as it is run, to be refreshed before."""
        return InferenceNetwork(self.model)

    @functools.cached_property
    def evaluated_network(self) -> InferenceNetwork:
        """`evaluated_model` as it is run, to be refreshed before."""
        return InferenceNetwork(self.average.model) if self.average else self.network

    @property
    def weights_group(self) -> str:
        """The group of a checkpoint that holds the weights of `evaluated_model`."""
        return "ema" if self.average else "model"
