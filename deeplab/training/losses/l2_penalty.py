"""Weight decay as a term of the loss."""

from __future__ import annotations

import keras
import tensorflow as tf


def l2_penalty(variables: list[keras.Variable]) -> tf.Tensor:
    """sum(w^2) / 2 over all variables, as the original's weight decay; float32 scalar."""
    return tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(variable)) for variable in variables])
