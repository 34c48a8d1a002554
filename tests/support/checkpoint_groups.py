"""What a checkpoint holds, a variable of each group."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

Groups = dict[str, dict[str, tf.Variable]]


def groups(value: float, size: int = 2) -> Groups:
    """All of one value."""
    return {
        "model": {"aspp/kernel": tf.Variable(np.full(size, value, np.float32))},
        "optimizer": {"step": tf.Variable(int(value), dtype=tf.int64)},
    }
