"""Hard pixel mining: the pixels of the largest losses of the global batch."""

from __future__ import annotations

import tensorflow as tf

from deeplab.training.losses.pixels import count, global_sum, share_of_mean

# Of a float32 without its sign.
_HIGHEST_BIT = 30


def share_of_hardest(
    losses: tf.Tensor, *, fraction: float, ramp_steps: int, step: tf.Tensor
) -> tf.Tensor:
    """The sum of the k largest losses of the global batch over the number of those that are not 0.

    k = int(fraction * N), where N counts all pixels of the global batch, ignored ones included. Of
    equal losses the first pixels of the first replicas are taken, so that it is exactly k. With a
    ramp the fraction goes linearly from 1 at step 0 to `fraction` at step `ramp_steps`. k may be 0,
    and then so is the loss. All of it is the original's (utils/train_utils.py), computed in float32
    as there: from 2^24 pixels on k is rounded.

    Args:
        losses: float32, at least 0, and 0 for ignored pixels.
        fraction: above 0, below 1.
        ramp_steps: 0: no ramp.
        step: steps done before this one.

    Returns:
        The replica's share.
    """
    losses = tf.reshape(losses, [-1])
    if ramp_steps:
        ratio = tf.minimum(tf.cast(step, tf.float32) / ramp_steps, 1.0)
        fraction = ratio * fraction + (1.0 - ratio)
    number = global_sum(tf.cast(tf.size(losses), tf.float32))
    taken = _largest(tf.stop_gradient(losses), tf.floor(fraction * number))
    taken_losses = tf.where(taken, losses, 0.0)
    return share_of_mean(tf.reduce_sum(taken_losses), count(tf.not_equal(taken_losses, 0.0)))


def _largest(losses: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """Which elements of a vector are among the k largest of all replicas."""
    # A NaN is larger than everything, or the loss would hide it.
    losses = tf.where(tf.math.is_nan(losses), float("inf"), losses)
    threshold = _kth_largest(losses, k)
    above = losses > threshold
    tied = losses == threshold
    missing = k - global_sum(count(above))
    return above | (tied & (_positions(tied) < missing))


def _kth_largest(losses: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """The k-th largest element of all replicas; a NaN if k is 0.

    Bisection over the bits of a float: those of numbers that are not negative are ordered as the
    numbers are. Against `tf.math.top_k` it needs no sorting, replicas exchange counts instead of
    losses, and k may change from step to step where shapes must be static.
    """
    bits = tf.constant(0)
    for bit in range(_HIGHEST_BIT, -1, -1):
        higher = bits | (1 << bit)
        number = global_sum(count(losses >= tf.bitcast(higher, tf.float32)))
        bits = tf.where(number >= k, higher, bits)
    return tf.bitcast(bits, tf.float32)


def _positions(mask: tf.Tensor) -> tf.Tensor:
    """How many true elements come before each, those of lower replicas first; float32."""
    replicas = tf.distribute.get_replica_context()
    here = tf.one_hot(replicas.replica_id_in_sync_group, replicas.num_replicas_in_sync)
    counts = global_sum(here * count(mask))
    before = tf.reduce_sum(tf.cumsum(counts, exclusive=True) * here)
    return before + tf.cumsum(tf.cast(mask, tf.float32), exclusive=True)
