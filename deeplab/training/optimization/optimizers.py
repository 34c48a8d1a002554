"""Update rules, and the optimizer that applies one to all weights on all replicas.

Our own instead of Keras' for two reasons: momentum must be TensorFlow 1's, with the learning rate
outside the accumulator, since the published models were trained with it; and gradients are summed
over replicas once, where Keras would sum them again for each use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from deeplab.models import decayed_variables, variables_by_path
from deeplab.training.config import OptimizerConfig
from deeplab.training.optimization.parameter_groups import learning_rate_multipliers
from deeplab.training.optimization.schedules import Schedule

Slots = Sequence[tf.Variable]

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7  # of adamw


class Moment(NamedTuple):
    """What an update depends on beside the gradient.

    Attributes:
        learning_rate: of this variable at this step, float32 scalar.
        step: counts from 1, int64 scalar.
        decayed: whether the variable is under weight decay.
    """

    learning_rate: tf.Tensor
    step: tf.Tensor
    decayed: bool


Update = Callable[[OptimizerConfig, tf.Variable, tf.Tensor, Slots, Moment], None]


class Rule(NamedTuple):
    """How one variable follows from its gradient.

    Attributes:
        slot_names: what is remembered of a variable between steps, each of its shape.
        update: assigns the variable and its slots.
    """

    slot_names: tuple[str, ...]
    update: Update


def _sgd(
    config: OptimizerConfig, variable: tf.Variable, gradient: tf.Tensor, slots: Slots, now: Moment
) -> None:
    """Momentum. Weight decay is in the loss, as in the original, and not here.

    accumulator = momentum * accumulator + gradient; variable -= learning rate * accumulator. As in
    Keras: accumulator = momentum * accumulator - learning rate * gradient; variable += accumulator.
    """
    (accumulator,) = slots
    if config.learning_rate_in_momentum:
        accumulator.assign(config.momentum * accumulator - now.learning_rate * gradient)
        variable.assign_add(accumulator)
    else:
        accumulator.assign(config.momentum * accumulator + gradient)
        variable.assign_sub(now.learning_rate * accumulator)


def _adamw(
    config: OptimizerConfig, variable: tf.Variable, gradient: tf.Tensor, slots: Slots, now: Moment
) -> None:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101)."""
    first, second = slots
    first.assign(_BETA_1 * first + (1.0 - _BETA_1) * gradient)
    second.assign(_BETA_2 * second + (1.0 - _BETA_2) * tf.square(gradient))
    count = tf.cast(now.step, tf.float32)
    scale = tf.sqrt(1.0 - _BETA_2**count) / (1.0 - _BETA_1**count)
    change = now.learning_rate * scale * first / (tf.sqrt(second) + _EPSILON)
    if now.decayed:
        change += now.learning_rate * config.resolved_weight_decay * variable
    variable.assign_sub(change)


RULES = {
    "sgd": Rule(("momentum",), _sgd),
    "adamw": Rule(("first_moment", "second_moment"), _adamw),
}


class _Row(NamedTuple):
    """A variable and what belongs to it.

    Attributes:
        variable: trainable.
        slots: of the rule.
        decayed: whether it is under weight decay.
        multiplier: of the learning rate.
    """

    variable: keras.Variable
    slots: list[tf.Variable]
    decayed: bool
    multiplier: float


class Optimizer:
    """Applies an update rule to the trainable weights of a model. Make it in the strategy's scope.

    Attributes:
        step: steps done, int64 scalar; the learning rate depends on it.
    """

    def __init__(self, config: OptimizerConfig, schedule: Schedule, model: keras.Model) -> None:
        """Makes the step and, for each trainable weight, the slots of the rule."""
        self._config = config
        self._rule = RULES[config.kind]
        self._schedule = schedule
        decayed = {id(variable) for variable in decayed_variables(model)}
        self.step = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self._rows: list[_Row] = []
        self._slots: dict[str, tf.Variable] = {}
        variables = variables_by_path(model)
        for path, multiplier in learning_rate_multipliers(model, config).items():
            variable = variables[path]
            slots = [
                tf.Variable(tf.zeros(variable.shape), trainable=False)
                for _ in self._rule.slot_names
            ]
            self._rows.append(_Row(variable, slots, id(variable) in decayed, multiplier))
            for name, slot in zip(self._rule.slot_names, slots, strict=True):
                self._slots[f"{path}/{name}"] = slot

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights that it updates, in the order of the gradients for `apply`."""
        return [row.variable for row in self._rows]

    def variables_by_path(self) -> dict[str, tf.Variable]:
        """Step and slots by stable path, for checkpoints."""
        return {"step": self.step, **self._slots}

    def learning_rate(self) -> tf.Tensor:
        """The learning rate of the next step, float32 scalar."""
        return tf.cast(self._schedule(self.step), tf.float32)

    def apply(
        self,
        gradients: Sequence[tf.Tensor],
        *,
        unless: tf.Tensor | None = None,
        skipped: tf.Tensor | int = 0,
    ) -> None:
        """Updates all weights; call it on every replica with the same, summed gradients.

        Args:
            gradients: in the order of `weights`.
            unless: bool scalar; where true, the step counts and nothing else happens.
            skipped: how many of the steps before this one did nothing, int64 scalar.
        """
        values = [self.learning_rate(), self.step + 1 - skipped]
        if unless is not None:
            values.append(unless)
        replicas = tf.distribute.get_replica_context()
        replicas.merge_call(self._apply, args=(list(gradients), values))
        self.step.assign_add(1)

    def _apply(
        self, strategy: tf.distribute.Strategy, gradients: Sequence[Any], values: Sequence[Any]
    ) -> None:
        for row, gradient in zip(self._rows, gradients, strict=True):
            strategy.extended.update(
                row.variable.value,
                partial(self._update, row.decayed, row.multiplier),
                args=(gradient, list(row.slots), list(values)),
                group=False,
            )

    def _update(
        self,
        decayed: bool,
        multiplier: float,
        variable: tf.Variable,
        gradient: tf.Tensor,
        slots: Slots,
        values: Sequence[tf.Tensor],
    ) -> None:
        """Updates a variable where it lies."""
        learning_rate, step, *unless = values
        now = Moment(multiplier * learning_rate, step, decayed)

        def update() -> None:
            self._rule.update(self._config, variable, gradient, slots, now)

        if unless:
            tf.cond(unless[0], lambda: None, update)
        else:
            update()


def num_slots(config: OptimizerConfig) -> int:
    """How many numbers the optimizer remembers of each weight."""
    return len(RULES[config.kind].slot_names)


def loss_weight_decay(config: OptimizerConfig) -> float:
    """The factor of the L2 term in the loss: sgd couples the decay, adamw does not."""
    return config.resolved_weight_decay if config.kind == "sgd" else 0.0
