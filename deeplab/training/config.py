"""What training is told: plain data that a configuration file fills."""

from __future__ import annotations

import dataclasses
from typing import Any

from deeplab import checks
from deeplab.data import DataConfig
from deeplab.data.pipeline import MAX_SEED
from deeplab.errors import DeepLabError
from deeplab.models import ModelConfig
from deeplab.training.losses import LOSSES

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("poly",)
_WEIGHT_DECAY = {"sgd": 4e-5, "adamw": 0.01}


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How gradients become updates.

    Attributes:
        kind: "sgd", momentum with the learning rate outside the accumulator as in TensorFlow 1; or
            "adamw".
        base_learning_rate: where the schedule starts.
        momentum: of sgd; beta_1 of adamw stays 0.9.
        weight_decay: on kernels of dense convolutions only. With sgd it is the factor c of the term
            c * sum(w^2) / 2 in the loss; with adamw it is decoupled. None: 4e-5 with sgd, as in
            the original, and 0.01 with adamw.
    """

    kind: str = "sgd"
    base_learning_rate: float = 0.007
    momentum: float = 0.9
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        """Checks every value."""
        checks.one_of("optimizer", self.kind, OPTIMIZERS)
        checks.number("base_learning_rate", self.base_learning_rate, minimum=0)
        checks.number("momentum", self.momentum, minimum=0, below=1)
        if self.weight_decay is not None:
            checks.number("weight_decay", self.weight_decay, minimum=0)

    @property
    def resolved_weight_decay(self) -> float:
        """The weight decay, whoever decided it."""
        return _WEIGHT_DECAY[self.kind] if self.weight_decay is None else self.weight_decay


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate moves.

    Attributes:
        kind: "poly": (base - end) * (1 - step / steps)^power + end (DeepLabv3 section 4.1).
        power: exponent of poly.
        end_learning_rate: learning rate after the last step.
        warmup_steps: steps at the beginning in which the rate rises linearly; the schedule proper
            starts after them. A shorter run only rises.
        warmup_start_learning_rate: where the rise begins.
    """

    kind: str = "poly"
    power: float = 0.9
    end_learning_rate: float = 0.0
    warmup_steps: int = 0
    warmup_start_learning_rate: float = 0.0

    def __post_init__(self) -> None:
        """Checks every value."""
        checks.one_of("schedule", self.kind, SCHEDULES)
        checks.number("power", self.power, minimum=0)
        checks.number("end_learning_rate", self.end_learning_rate, minimum=0)
        checks.integer("warmup_steps", self.warmup_steps, minimum=0)
        checks.number("warmup_start_learning_rate", self.warmup_start_learning_rate, minimum=0)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        model: the network; its class count may be left to the data set.
        data: data set, crop and augmentation.
        optimizer: kind, learning rate, decay.
        schedule: of the learning rate.
        loss: a key of `LOSSES`.
        train_batch_norm: whether batch norm normalises by the statistics of the batch and averages
            them; if not, the moving statistics stay as they are, and gamma and beta still learn
            (`fine_tune_batch_norm` of the original). None: yes, except for weights whose batch norm
            had been folded away. True measures the statistics of such weights first, on training
            images, in a way that leaves the function as it is.
        train_steps: steps in all.
        global_batch_size: images a step, over all replicas.
        checkpoint_steps: steps between checkpoints; there is always one at the end.
        eval_steps: steps between evaluations on the evaluation split, and one at the end; 0: never.
        keep_checkpoints: how many of the newest checkpoints stay.
        steps_per_loop: steps that the device makes before Python looks at them; None: 100 on a TPU,
            where each look is slow, and 1 elsewhere. Never beyond the next checkpoint or
            evaluation. The result is the same.
        log_steps: steps between entries in history.json and TensorBoard.
        seed: of initial weights, order of the data, augmentation and dropout.
    """

    model: ModelConfig
    data: DataConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    loss: str = "softmax_cross_entropy"
    train_batch_norm: bool | None = None
    train_steps: int = 30_000
    global_batch_size: int = 16
    checkpoint_steps: int = 1_000
    eval_steps: int = 0
    keep_checkpoints: int = 3
    steps_per_loop: int | None = None
    log_steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks every value."""
        for name, kind in (
            ("model", ModelConfig),
            ("data", DataConfig),
            ("optimizer", OptimizerConfig),
            ("schedule", ScheduleConfig),
        ):
            if not isinstance(getattr(self, name), kind):
                raise DeepLabError(f"{name} must be a {kind.__name__}, not {getattr(self, name)!r}")
        checks.one_of("loss", self.loss, LOSSES)
        if self.train_batch_norm is not None:
            checks.flag("train_batch_norm", self.train_batch_norm)
        for name in ("train_steps", "global_batch_size", "checkpoint_steps", "keep_checkpoints"):
            checks.integer(name, getattr(self, name), minimum=1)
        checks.integer("log_steps", self.log_steps, minimum=1)
        if self.steps_per_loop is not None:
            checks.integer("steps_per_loop", self.steps_per_loop, minimum=1)
        checks.integer("eval_steps", self.eval_steps, minimum=0)
        checks.integer("seed", self.seed, minimum=0, maximum=MAX_SEED)
        if min(self.data.crop_height_width) < self.model.output_stride:
            raise DeepLabError(
                f"crop_size {self.data.crop_size} is smaller than the output stride "
                f"{self.model.output_stride}: nothing would be left of the image"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)
