"""Pixels near the boundary between two classes."""

from __future__ import annotations

import tensorflow as tf


def near_boundary(labels: tf.Tensor, valid: tf.Tensor, width: int) -> tf.Tensor:
    """Which valid pixels have another class at most `width` rows and columns away.

    A pixel without a label makes no boundary, nor does the edge of the image. A boundary is seen
    across such pixels: many data sets leave a band of them between objects.

    Args:
        labels: class ids, int32 [B,H,W].
        valid: whether a pixel has a label, bool [B,H,W].
        width: pixels.

    Returns:
        bool [B,H,W]; without meaning where a pixel is not valid.
    """
    ids = tf.cast(labels, tf.float32)[..., tf.newaxis]
    valid = valid[..., tf.newaxis]
    highest = _window_maximum(tf.where(valid, ids, ids.dtype.min), width)
    lowest = -_window_maximum(tf.where(valid, -ids, ids.dtype.min), width)
    return tf.squeeze(highest != lowest, -1)


def _window_maximum(x: tf.Tensor, width: int) -> tf.Tensor:
    """The maximum over the square of 2 * width + 1 around each pixel; [B,H,W,1]."""
    side = 2 * width + 1
    for window in ((side, 1), (1, side)):
        x = tf.nn.max_pool2d(x, window, 1, "SAME")
    return x
