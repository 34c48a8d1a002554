"""The classes of enlarged logits, without ever holding all of the enlarged logits."""

from __future__ import annotations

import tensorflow as tf

from deeplab.models import resize_bilinear, source_positions

# Enlarged logits beyond this many numbers (256 MB) are made and used strip by strip: a photo of 12
# million pixels with 151 classes would need 7 GB. Below it one operation is up to a third faster.
_MOST_AT_ONCE = 2**26


def resized_argmax(
    logits: tf.Tensor, height: tf.Tensor, width: tf.Tensor, *, method: str
) -> tf.Tensor:
    """The argmax of `resize_bilinear(logits, height, width, method=method)`.

    Args:
        logits: float32 [B, h, w, C].
        height: of the result, int32 scalar.
        width: of the result, int32 scalar.
        method: one of `RESIZES`.

    Returns:
        int32 [B, height, width].
    """
    shape = tf.shape(logits, tf.int64)
    numbers_per_row = shape[0] * tf.cast(width, tf.int64) * shape[3]
    return tf.cond(
        numbers_per_row * tf.cast(height, tf.int64) <= _MOST_AT_ONCE,
        lambda: argmax(resize_bilinear(logits, height, width, method=method)),
        lambda: argmax_in_strips(
            logits,
            height,
            width,
            tf.cast(_MOST_AT_ONCE // 8 // numbers_per_row + 1, tf.int32),
            method=method,
        ),
    )


def argmax_in_strips(
    logits: tf.Tensor, height: tf.Tensor, width: tf.Tensor, rows: tf.Tensor, *, method: str
) -> tf.Tensor:
    """`resized_argmax`, `rows` rows of the result at a time."""
    batch, low_height = tf.unstack(tf.shape(logits)[:2])
    # Bilinear resizing is one direction after the other; the narrow one first is the cheap one.
    wide = resize_bilinear(logits, low_height, width, method=method)  # [B, h, width, C]

    def strip(index: tf.Tensor) -> tf.Tensor:
        row = tf.minimum(index * rows + tf.range(rows), height - 1)
        position = source_positions(row, low_height, height, method=method)
        upper = tf.cast(position, tf.int32)
        lower = tf.minimum(upper + 1, low_height - 1)
        share = (position - tf.cast(upper, tf.float32))[:, tf.newaxis, tf.newaxis]
        above, below = tf.gather(wide, upper, axis=1), tf.gather(wide, lower, axis=1)
        return argmax(above + (below - above) * share)

    # [strips, B, rows, width]
    strips = tf.map_fn(
        strip,
        tf.range((height + rows - 1) // rows),
        fn_output_signature=tf.int32,
        parallel_iterations=1,
    )
    joined = tf.reshape(tf.transpose(strips, [1, 0, 2, 3]), [batch, -1, width])
    return joined[:, :height]


def argmax(logits: tf.Tensor) -> tf.Tensor:
    """The classes of logits or probabilities [..., C], int32 [...]."""
    return tf.argmax(logits, axis=-1, output_type=tf.int32)
