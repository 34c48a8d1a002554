"""Random numbers that are functions of their seed alone."""

from __future__ import annotations

import tensorflow as tf

ALGORITHM = "philox"  # named, because the default may differ between devices


def uniform(seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """A float32 scalar of low..high; `seed` is [2]."""
    return tf.random.stateless_uniform([], seed, low, high, alg=ALGORITHM)


def integer(seed: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """An int32 scalar of 0..count-1, equally probable; `seed` is [2]."""
    return tf.random.stateless_uniform([], seed, 0, count, dtype=tf.int32, alg=ALGORITHM)


def split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Makes `count` seeds of one, [2] each."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, count, alg=ALGORITHM))


def fold_in(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Another seed [2] for every number."""
    return tf.random.experimental.stateless_fold_in(seed, number, alg=ALGORITHM)
