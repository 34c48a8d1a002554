"""Soft Dice loss (Milletari et al., arXiv 1606.04797)."""

from __future__ import annotations

import tensorflow as tf

from deeplab.training.losses.pixels import Pixels, global_sum, share_of_common


def dice(pixels: Pixels) -> tf.Tensor:
    """1 - 2 * sum(p * g) / (sum(p^2) + sum(g^2)), averaged over the classes with a label.

    Computed as sum((p - g)^2) / (sum(p^2) + sum(g^2)), which is the same without cancellation.

    p is the probability of the class and g 1 at its pixels, both over the valid pixels of the
    global batch (section 3 of the paper, with squares, for each class). Over the global batch and
    not over each image, because a crop holds few of the classes, some of them in a handful of
    pixels: a ratio over those alone would be noise with the weight of a whole class. A class
    without a pixel in the batch has neither loss nor gradient.
    """
    num_classes = pixels.logits.shape[-1]
    valid = pixels.valid[..., tf.newaxis]
    probabilities = tf.where(valid, tf.nn.softmax(pixels.logits), 0.0)
    truth = tf.where(valid, tf.one_hot(pixels.labels, num_classes), 0.0)
    local = [
        tf.reduce_sum(values, axis=[0, 1, 2])
        for values in (
            tf.math.squared_difference(probabilities, truth),
            tf.square(probabilities),
            truth,
        )
    ]
    differences, squares, numbers = tf.unstack(global_sum(tf.stack(local)))
    present = tf.cast(numbers > 0, tf.float32)
    losses = present * differences / tf.maximum(squares + numbers, 1.0)
    return share_of_common(tf.reduce_sum(losses) / tf.maximum(tf.reduce_sum(present), 1.0))
