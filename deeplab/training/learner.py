"""The network that is trained, and all that moves its weights, made from settings alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from deeplab.models import DeepLabModel, ModelConfig, build_model, rematerialized, variables_by_path
from deeplab.training.config import TrainConfig
from deeplab.training.jit_compile import compiles
from deeplab.training.losses import make_loss
from deeplab.training.optimization.loss_scale import LossScale
from deeplab.training.optimization.moving_average import MovingAverage
from deeplab.training.optimization.optimizers import Optimizer, loss_weight_decay
from deeplab.training.optimization.schedules import make_schedule
from deeplab.training.step import StepResult, make_train_step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learner:
    """A network and what its weights follow from.

    Attributes:
        config: settings.
        strategy: how a step is spread over devices.
        model: made in the strategy's scope, as the next three.
        optimizer: its step says how many are done.
        average: moving average of the weights; None if the run keeps none.
        loss_scale: of mixed_float16; else None.
    """

    config: TrainConfig
    strategy: tf.distribute.Strategy
    model: DeepLabModel
    optimizer: Optimizer
    average: MovingAverage | None = None
    loss_scale: LossScale | None = None

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.optimizer.step.numpy())

    def checkpoint_groups(self) -> dict[str, dict[str, Any]]:
        """All variables that a step reads or moves, by group and path.

        A resumed run needs the same: weights, optimizer, the state of dropout.
        """
        groups = {
            "model": variables_by_path(self.model),
            "optimizer": self.optimizer.variables_by_path(),
            "random": {
                layer.name.replace(".", "/"): layer.seed_generator.state
                for layer in self.model.layers
                if getattr(layer, "seed_generator", None) is not None
            },
        }
        if self.average:
            groups["ema"] = variables_by_path(self.average.model)
        if self.loss_scale:
            groups["loss_scale"] = self.loss_scale.variables_by_path()
        return groups

    def train_step(self, ignore_label: int) -> Callable[[Any], StepResult]:
        """The step of the settings, see `make_train_step`.

        Args:
            ignore_label: label of the pixels that do not count.
        """
        config, model = self.config, self.model
        return make_train_step(
            model,
            self.optimizer,
            self.strategy,
            loss=make_loss(
                config.loss,
                num_classes=model.output.shape[-1],
                ignore_label=ignore_label,
                resize=model.resize,
            ),
            ignore_label=ignore_label,
            weight_decay=loss_weight_decay(config.optimizer),
            forward=rematerialized(model) if config.rematerialize else None,
            accumulation_steps=config.accumulation_steps,
            clip_norm=config.optimizer.clip_norm,
            loss_scale=self.loss_scale,
            average=self.average,
            jit_compile=compiles(config, self.strategy),
        )


def make_learner(
    config: TrainConfig, model_config: ModelConfig, strategy: tf.distribute.Strategy
) -> Learner:
    """A learner with fresh weights, those of the settings' seed.

    Args:
        config: all settings.
        model_config: the network, with its class count.
        strategy: how steps will be spread.
    """
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = build_model(model_config, dtype_policy=config.precision)
        schedule = make_schedule(
            config.schedule,
            base_learning_rate=config.optimizer.base_learning_rate,
            train_steps=config.train_steps,
        )
        optimizer = Optimizer(config.optimizer, schedule, model)
        average = None
        if config.ema_decay:
            # In float32, as every model that is loaded.
            average = MovingAverage(config.ema_decay, model, build_model(model_config))
        loss_scale = LossScale() if config.precision == "mixed_float16" else None
    return Learner(
        config=config,
        strategy=strategy,
        model=model,
        optimizer=optimizer,
        average=average,
        loss_scale=loss_scale,
    )
