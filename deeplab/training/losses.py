"""Losses over labelled pixels."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf


def softmax_cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, *, ignore_label: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum of the cross entropy over the valid pixels, and their number.

    The mean is left to the caller, who alone can count the pixels of the whole batch: dividing on
    each replica would weigh a pixel by how many others its replica happens to have.

    Args:
        labels: class ids, int32 [B,H,W].
        logits: float32 [B,H,W,C].
        ignore_label: label of the pixels that do not count.

    Returns:
        float32 scalars. Ignored pixels get no gradient.

    Source: `add_softmax_cross_entropy_loss_for_each_scale` in the original's utils/train_utils.py.
    """
    valid = labels != ignore_label
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(valid, labels, 0), logits=logits
    )
    losses = tf.where(valid, losses, 0.0)
    return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(valid, tf.float32))


# Each: (labels, logits, *, ignore_label) -> sum over the valid pixels, and their number.
LOSSES: dict[str, Callable[..., tuple[tf.Tensor, tf.Tensor]]] = {
    "softmax_cross_entropy": softmax_cross_entropy
}


# (labels int32 [B,H,W], logits float32 [B,H,W,C], steps done int64) -> float32 scalar, the share of
# this replica in the loss of the global batch: the sum of the shares over all replicas is the loss.
Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def make_loss(name: str, *, ignore_label: int) -> Loss:
    """The mean of a loss over the valid pixels of the global batch, as the share of a replica.

    With the pixels of the global batch as divisor, the sum of the gradients over the replicas is
    the gradient of the mean, however unevenly ignored pixels are spread.
    """
    pixel_loss = LOSSES[name]

    def loss(labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        total, count = pixel_loss(labels, logits, ignore_label=ignore_label)
        replicas = tf.distribute.get_replica_context()
        return total / tf.maximum(replicas.all_reduce("SUM", count), 1.0)

    return loss


def l2_penalty(variables: list[keras.Variable]) -> tf.Tensor:
    """sum(w^2) / 2 over all variables, as the original's weight decay; float32 scalar."""
    return tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(variable)) for variable in variables])
