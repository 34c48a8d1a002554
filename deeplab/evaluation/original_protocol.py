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

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from deeplab.errors import DeepLabError
from deeplab.evaluation.argmax import argmax
from deeplab.evaluation.inference import mean_probability_function
from deeplab.models import ALIGN_CORNERS, DeepLabModel, InferenceNetwork, resize_bilinear
from deeplab.runtimes.inference import check_scales


class Prediction(NamedTuple):
    """int32 [B,H,W] and float32 [B,H,W,C]."""

    labels: tf.Tensor
    probabilities: tf.Tensor


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
        DeepLabError: if the scales are not positive numbers, or the network resizes in another way
            than the original.
    """
    check_scales(eval_scales)
    if model.resize != ALIGN_CORNERS:
        raise DeepLabError(
            f"the original protocol resizes with {ALIGN_CORNERS!r}, as the original's networks do; "
            f"this network has resize {model.resize!r}"
        )
    network = InferenceNetwork(model)

    def single(images: tf.Tensor) -> Prediction:
        height, width = tf.unstack(tf.shape(images)[1:3])
        logits = network(images)
        if upsample_logits:
            logits = resize_bilinear(logits, height, width)
            return Prediction(argmax(logits), tf.nn.softmax(logits))
        labels = tf.raw_ops.ResizeNearestNeighbor(
            images=argmax(logits)[..., tf.newaxis],
            size=tf.stack([height, width]),
            align_corners=True,
        )
        return Prediction(labels[..., 0], resize_bilinear(tf.nn.softmax(logits), height, width))

    mean_probabilities = mean_probability_function(
        network, eval_scales, flip, logits_stride=network.logits_stride
    )

    def several(images: tf.Tensor) -> Prediction:
        mean = mean_probabilities(images)
        return Prediction(argmax(mean), tf.nn.softmax(mean))

    images = tf.TensorSpec([None, None, None, model.input_channels], tf.float32)
    return tf.function(
        single if tuple(eval_scales) == (1.0,) and not flip else several, input_signature=[images]
    )
