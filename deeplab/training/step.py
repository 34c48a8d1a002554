"""One training step, the same on one device, several or a slice of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from deeplab.models import decayed_variables
from deeplab.training.losses import LOSSES, l2_penalty
from deeplab.training.optimizers import Optimizer

Batch = dict[str, tf.Tensor]


class StepResult(NamedTuple):
    """Scalars of a step, each over the whole global batch.

    Attributes:
        loss: mean over the valid pixels, without weight decay.
        penalty: weight decay in the loss.
        gradient_norm: L2 norm of the gradient of both.
        learning_rate: what the update was made with.
    """

    loss: tf.Tensor
    penalty: tf.Tensor
    gradient_norm: tf.Tensor
    learning_rate: tf.Tensor


def make_train_step(
    model: keras.Model,
    optimizer: Optimizer,
    strategy: tf.distribute.Strategy,
    *,
    loss_name: str,
    ignore_label: int,
    weight_decay: float,
) -> Callable[[Any], StepResult]:
    """Compiles the step.

    Args:
        model: images -> logits, made in the strategy's scope.
        optimizer: made there as well.
        strategy: how batches are spread.
        loss_name: a key of `LOSSES`.
        ignore_label: label of the pixels that do not count.
        weight_decay: factor of the L2 term in the loss.

    Returns:
        A function of a (distributed) batch; it updates the weights.
    """
    decayed = decayed_variables(model)
    pixel_loss = LOSSES[loss_name]

    def replica_step(batch: Batch) -> StepResult:
        replicas = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            logits = model(batch["image"], training=True)
            total, count = pixel_loss(batch["label"], logits, ignore_label=ignore_label)
            # Gradients are summed over replicas: with the pixels of the global batch as divisor
            # their sum is the gradient of the mean, however unevenly ignored pixels are spread.
            loss = total / tf.maximum(replicas.all_reduce("SUM", count), 1.0)
            penalty = tf.constant(0.0)
            if weight_decay:
                penalty = weight_decay * l2_penalty(decayed) / replicas.num_replicas_in_sync
            objective = loss + penalty
        gradients = tape.gradient(objective, optimizer.weights)
        gradients = replicas.all_reduce("SUM", gradients)
        loss, penalty = replicas.all_reduce("SUM", [loss, penalty])
        learning_rate = optimizer.learning_rate()
        optimizer.apply(gradients)
        return StepResult(loss, penalty, tf.linalg.global_norm(gradients), learning_rate)

    @tf.function
    def train_step(batch: Any) -> StepResult:
        results = strategy.run(replica_step, args=(batch,))
        # Every replica has the same values: they were summed there.
        return StepResult(*(strategy.experimental_local_results(value)[0] for value in results))

    return train_step
