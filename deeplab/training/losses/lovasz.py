"""Lovasz-softmax loss (Berman et al., arXiv 1705.08790)."""

from __future__ import annotations

import tensorflow as tf

from deeplab.training.losses.pixels import Pixels, count, share_of_mean


def lovasz_softmax(pixels: Pixels) -> tf.Tensor:
    """The convex extension of 1 - IoU, averaged over the classes of an image and over the images.

    For a class, the error of a pixel is 1 - p where its label is the class and p elsewhere; where
    all errors are 0 or 1 the loss is 1 - IoU (section 2 and equation 11 of the paper). Only classes
    that occur in the image's labels count, ignored pixels do not exist, and neither does an image
    without a label.
    """
    num_classes = pixels.logits.shape[-1]
    batch = tf.shape(pixels.labels)[0]
    labels, valid = (tf.reshape(x, [batch, -1]) for x in (pixels.labels, pixels.valid))
    probabilities = tf.reshape(tf.nn.softmax(pixels.logits), [batch, -1, num_classes])
    # One class after the other from here on: [C,B,P].
    probabilities = tf.transpose(probabilities, [2, 0, 1])
    truth = tf.where(valid, tf.one_hot(labels, num_classes, axis=0), 0.0)
    errors = tf.where(valid, tf.abs(truth - probabilities), 0.0)
    # The extension is piecewise linear: these are its slopes where the errors are now.
    slopes = tf.map_fn(
        lambda of_class: _slopes(of_class[0], of_class[1], valid),
        (tf.stop_gradient(errors), truth),
        fn_output_signature=tf.float32,
    )
    losses = tf.reduce_sum(tf.stop_gradient(slopes) * errors, axis=2)
    num_present = tf.reduce_sum(tf.cast(tf.reduce_any(truth > 0, axis=2), tf.float32), axis=0)
    images = tf.reduce_sum(losses, axis=0) / tf.maximum(num_present, 1.0)
    return share_of_mean(tf.reduce_sum(images), count(num_present > 0))


def _slopes(errors: tf.Tensor, truth: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """How much 1 - IoU grows when the pixels with larger errors are wrong already, and this too.

    All [B,P], of one class; 0 in images without it.
    """

    def of_present_class() -> tf.Tensor:
        num_pixels = tf.shape(errors)[1]
        # Ignored pixels come last, where no pixel of the class is left and the slope is 0.
        order = tf.argsort(tf.where(valid, errors, -1.0), direction="DESCENDING")
        is_class = tf.gather(truth, order, batch_dims=1)
        left = tf.reduce_sum(truth, axis=1, keepdims=True) - tf.cumsum(is_class, axis=1)
        union = left + tf.cast(tf.range(1, num_pixels + 1), tf.float32)
        # A pixel of the class that goes wrong leaves the intersection, another one joins the
        # union. As differences of 1 - IoU the slopes would be lost in rounding.
        slopes = tf.where(
            is_class > 0, 1.0 / union, tf.math.divide_no_nan(left, union * (union - 1.0))
        )
        rows = tf.range(tf.shape(errors)[0])[:, tf.newaxis] * num_pixels
        places = tf.reshape(order + rows, [-1, 1])
        flat = tf.scatter_nd(places, tf.reshape(slopes, [-1]), [tf.size(errors)])
        return tf.reshape(flat, tf.shape(errors))

    # Most classes are in no image of a batch, and sorting is what takes time.
    return tf.cond(tf.reduce_any(truth > 0), of_present_class, lambda: tf.zeros_like(errors))
