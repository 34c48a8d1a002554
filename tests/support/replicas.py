"""Strategies for tests of a step, whose processes may make several."""

from __future__ import annotations

import tensorflow as tf


def one_device() -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy("/cpu:0")


def mirrored() -> tf.distribute.Strategy:
    """Two replicas, without collective operations: those of two strategies in a process clash."""
    return tf.distribute.MirroredStrategy(
        ["/cpu:0", "/cpu:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
