"""Inference exactly as the original does it (model.py: `predict_labels`,
`predict_labels_multi_scale`), quirks included.

What differs from `inference.py`:

- For scales below 1 the logits are resized twice: to the grid that they have at scale 1, and from
  there to the image.
- The probabilities of several copies are the softmax of the mean of their softmaxes; the labels are
  the argmax of that mean, so that they are not affected.
- Labels can be taken before the logits are resized (`upsample_logits=False`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from deeplab.evaluation.inference import check_scales
from deeplab.models import DeepLabModel, resize_bilinear


class Prediction(NamedTuple):
    """int32 [B,H,W] and float32 [B,H,W,C]."""

    labels: tf.Tensor
    probabilities: tf.Tensor


def scale_dimension(size: tf.Tensor, scale: float) -> tf.Tensor:
    """int((size - 1) * scale + 1), the original's rule for every size; int32 scalar."""
    return tf.cast((tf.cast(size, tf.float64) - 1.0) * scale + 1.0, tf.int32)


def original_prediction_function(
    model: DeepLabModel,
    *,
    eval_scales: Sequence[float] = (1.0,),
    flip: bool = False,
    upsample_logits: bool = True,
) -> Callable[[tf.Tensor], Prediction]:
    """Compiles a model into images float32 [B,H,W,3], 0..255 -> `Prediction`.

    Args:
        model: any network of this package.
        eval_scales: sizes at which each image is seen, as factors of its own.
        flip: whether each of them is seen mirrored as well.
        upsample_logits: whether logits are resized before the argmax; False applies to a single
            copy only, as in the original.

    Raises:
        DeepLabError: if the scales are not positive numbers.
    """
    check_scales(eval_scales)
    network = keras.Model(model.input, model.endpoints["logits_low_resolution"])
    copies = list(itertools.product(eval_scales, (False, True) if flip else (False,)))

    def single(images: tf.Tensor) -> Prediction:
        height, width = tf.unstack(tf.shape(images)[1:3])
        logits = network(images)
        if upsample_logits:
            logits = resize_bilinear(logits, height, width)
            return Prediction(_argmax(logits), tf.nn.softmax(logits))
        labels = tf.raw_ops.ResizeNearestNeighbor(
            images=_argmax(logits)[..., tf.newaxis],
            size=tf.stack([height, width]),
            align_corners=True,
        )
        return Prediction(labels[..., 0], resize_bilinear(tf.nn.softmax(logits), height, width))

    def several(images: tf.Tensor) -> Prediction:
        height, width = tf.unstack(tf.shape(images)[1:3])
        total = tf.zeros([])
        for scale, mirrored in copies:
            # One after the other: all at once would hold every copy's activations.
            with tf.control_dependencies([total]):
                copy = tf.identity(images)
            if scale != 1:
                size = scale_dimension(height, scale), scale_dimension(width, scale)
                copy = resize_bilinear(copy, *size)
            if mirrored:
                copy = tf.reverse(copy, [2])
            logits = network(copy)
            if scale < 1:
                grid = (scale_dimension(side, 1 / model.logits_stride) for side in (height, width))
                logits = resize_bilinear(logits, *grid)
            if mirrored:
                logits = tf.reverse(logits, [2])
            total += tf.nn.softmax(resize_bilinear(logits, height, width))
        mean = total / len(copies)
        return Prediction(_argmax(mean), tf.nn.softmax(mean))

    images = tf.TensorSpec([None, None, None, model.input_channels], tf.float32)
    return tf.function(single if copies == [(1.0, False)] else several, input_signature=[images])


def original_label_function(
    model: DeepLabModel, *, eval_scales: Sequence[float] = (1.0,), flip: bool = False
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The labels alone of `original_prediction_function`: images -> int32 [B,H,W]."""
    predict = original_prediction_function(model, eval_scales=eval_scales, flip=flip)
    return lambda images: predict(images).labels


def _argmax(scores: tf.Tensor) -> tf.Tensor:
    return tf.argmax(scores, axis=-1, output_type=tf.int32)
