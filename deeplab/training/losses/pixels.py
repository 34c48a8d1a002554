"""What a loss sees of a batch, and sums over the batches of all replicas.

A loss is called on every replica and gives that replica's share of the loss of the global batch:
the shares sum to the loss, and their gradients to its gradient, however labeled and ignored pixels
are spread over the replicas. Two facts make this easy. Whatever is a sum over pixels or images,
divided by a number of the global batch, has the replica's own sum over that number as its share.
And the gradient of `global_sum` is `global_sum` of the gradients: where the loss is any other
function of global sums, its value over the number of replicas is the share.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Pixels(NamedTuple):
    """The pixels of a replica's batch.

    Attributes:
        labels: class ids, int32 [B,H,W]; 0 at pixels that are not valid.
        valid: whether a pixel has a label, bool [B,H,W].
        logits: float32 [B,H,W,C].
        step: steps done before this one, integer scalar.
    """

    labels: tf.Tensor
    valid: tf.Tensor
    logits: tf.Tensor
    step: tf.Tensor


def global_sum(value: tf.Tensor) -> tf.Tensor:
    """The sum of a float32 tensor over the replicas; differentiable."""
    return tf.distribute.get_replica_context().all_reduce("SUM", value)


def count(mask: tf.Tensor) -> tf.Tensor:
    """The number of true elements on this replica, float32: exact up to 2^24."""
    return tf.reduce_sum(tf.cast(mask, tf.float32))


def share_of_mean(total: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """The share of (sum of all totals) / (sum of all numbers); 0 where there is nothing."""
    return total / tf.maximum(global_sum(number), 1.0)


def share_of_common(value: tf.Tensor) -> tf.Tensor:
    """The share of a value that every replica has computed from global sums."""
    return value / tf.distribute.get_replica_context().num_replicas_in_sync
