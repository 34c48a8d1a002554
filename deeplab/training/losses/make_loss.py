"""The loss of a configuration, as a function of labels and logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import tensorflow as tf

from deeplab.models import ALIGN_CORNERS, RESIZES, resize_bilinear
from deeplab.training.losses.config import LossConfig
from deeplab.training.losses.pixels import Pixels
from deeplab.training.losses.table import LOSSES, settings_of

Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def make_loss(
    config: LossConfig, *, num_classes: int, ignore_label: int, resize: str = ALIGN_CORNERS
) -> Loss:
    """The loss of a configuration.

    Args:
        config: terms and their settings.
        num_classes: channels of the logits.
        ignore_label: label of the pixels that do not count.
        resize: how the network resizes its logits, one of `RESIZES`.

    Returns:
        (labels int32 [B,H,W], logits [B,h,w,C], steps done) -> float32 scalar, the replica's share
        of the loss of the global batch: call it in replica context. The sum of the shares over the
        replicas is the loss, the sum of their gradients its gradient. Nothing labeled: 0.

    Raises:
        DeepLabError: if the class weights are not as many as the classes.
    """
    config.check_num_classes(num_classes)
    terms = [
        (factor, partial(LOSSES[name], **{key: getattr(config, key) for key in settings_of(name)}))
        for name, factor in config.terms.items()
    ]

    def loss(labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(logits, tf.float32)
        size = labels.shape[1:]
        if not (size.is_fully_defined() and size == logits.shape[1:3]):
            if config.upsample_logits:
                logits = resize_bilinear(logits, *tf.unstack(tf.shape(labels)[1:]), method=resize)
            else:
                labels = _resize_labels(labels, tf.shape(logits)[1:3], method=resize)
        valid = labels != ignore_label
        pixels = Pixels(tf.where(valid, labels, 0), valid, logits, step)
        return tf.add_n([factor * term(pixels) for factor, term in terms])

    return loss


def _resize_labels(labels: tf.Tensor, size: tf.Tensor, *, method: str) -> tf.Tensor:
    """int32 [B,H,W] -> [B,*size]: the label nearest to where the logit stands."""
    resized = tf.raw_ops.ResizeNearestNeighbor(
        # float32, which holds every id: there is no kernel for int32 on a GPU.
        images=tf.cast(labels, tf.float32)[..., tf.newaxis],
        size=size,
        **RESIZES[method],
    )
    return tf.cast(tf.squeeze(resized, -1), tf.int32)
