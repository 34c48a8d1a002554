"""One training step, the same on one device, several or a slice of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from deeplab.models import DeepLabModel, decayed_variables, scale_logits
from deeplab.training.losses import Loss, l2_penalty
from deeplab.training.optimizers import Optimizer

Batch = dict[str, tf.Tensor]


class StepResult(NamedTuple):
    """Scalars of a step, each over the whole global batch.

    Attributes:
        loss: without weight decay.
        penalty: weight decay in the loss.
        gradient_norm: L2 norm of the gradient of both.
        learning_rate: what the update was made with.
    """

    loss: tf.Tensor
    penalty: tf.Tensor
    gradient_norm: tf.Tensor
    learning_rate: tf.Tensor


def make_train_step(
    model: DeepLabModel,
    optimizer: Optimizer,
    strategy: tf.distribute.Strategy,
    *,
    loss: Loss,
    weight_decay: float,
) -> Callable[[Any], StepResult]:
    """Compiles the step.

    Args:
        model: images -> logits, made in the strategy's scope.
        optimizer: made there as well.
        strategy: how batches are spread.
        loss: as `make_loss` gives it. With an image pyramid of several scales it is summed over the
            logits of each scale and the merged ones, as in the original (utils/train_utils.py).
        weight_decay: factor of the L2 term in the loss.

    Returns:
        A function of a (distributed) batch; it updates the weights.
    """
    decayed = decayed_variables(model)
    network = scale_logits(model)

    def replica_step(batch: Batch) -> StepResult:
        replicas = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            scales = network(batch["image"], training=True)
            share = tf.add_n(
                [loss(batch["label"], logits, optimizer.step) for logits in scales.values()]
            )
            penalty = tf.constant(0.0)
            if weight_decay:
                penalty = weight_decay * l2_penalty(decayed) / replicas.num_replicas_in_sync
            objective = share + penalty
        gradients = tape.gradient(objective, optimizer.weights)
        gradients = replicas.all_reduce("SUM", gradients)
        total, penalty = replicas.all_reduce("SUM", [share, penalty])
        learning_rate = optimizer.learning_rate()
        optimizer.apply(gradients)
        return StepResult(total, penalty, tf.linalg.global_norm(gradients), learning_rate)

    @tf.function
    def train_step(batch: Any) -> StepResult:
        results = strategy.run(replica_step, args=(batch,))
        # Every replica has the same values: they were summed there.
        return StepResult(*(strategy.experimental_local_results(value)[0] for value in results))

    return train_step
