"""Decoding of prepared images and labels inside a TensorFlow graph."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def decode_image(data: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG or PNG file.

    Args:
        data: string scalar.

    Returns:
        uint8 [H, W, 3], RGB. The same pixels as Pillow and OpenCV give: TensorFlow's default
        decoding of JPEG is faster and differs from theirs by up to 19 levels.
    """
    # The operation takes PNG too, whatever its name says.
    image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    image.set_shape([None, None, 3])
    return image


def decode_label(data: tf.Tensor, label_map: Sequence[int] | None = None) -> tf.Tensor:
    """Decodes a grey index PNG, as preparation stores it.

    Args:
        data: string scalar, 8 or 16 bit.
        label_map: what the ids 0..255 become; None: they stay.

    Returns:
        int32 [H, W] of class ids and the ignored id.
    """
    wide = tf.equal(tf.strings.substr(data, 24, 1), b"\x10")  # the bit depth in a PNG file
    label = tf.cond(
        wide,
        lambda: tf.cast(tf.io.decode_png(data, channels=1, dtype=tf.uint16), tf.int32),
        lambda: tf.cast(tf.io.decode_png(data, channels=1, dtype=tf.uint8), tf.int32),
    )
    label = tf.squeeze(label, -1)
    label.set_shape([None, None])
    if label_map is not None:
        label = tf.gather(tf.constant(label_map, tf.int32), label)
    return label


def label_size_key(data: tf.Tensor) -> tf.Tensor:
    """Width and height of an undecoded label as one int64 number, equal for equal sizes."""
    return tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int64)[0]
