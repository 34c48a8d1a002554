"""Bilinear resizing with aligned corners, the only kind in the original (model.py)."""

from __future__ import annotations

import keras
import tensorflow as tf


def resize_bilinear(images: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """[B,h,w,C] -> float32 [B,height,width,C]; source = target * (in - 1) / (out - 1)."""
    return tf.raw_ops.ResizeBilinear(
        images=images,
        size=tf.stack([height, width]),
        align_corners=True,
        half_pixel_centers=False,
    )


class ResizeLike(keras.layers.Layer):
    """Resizes the first tensor to the height and width of the second, also at run time.

    Keras' own resizing layers need the size when the network is built.
    """

    def call(self, images: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """[B,h,w,C], [B,H,W,any] -> [B,H,W,C] in the type of `images`."""
        size = tf.shape(like)
        resized = resize_bilinear(images, size[1], size[2])
        resized.set_shape([images.shape[0], like.shape[1], like.shape[2], images.shape[3]])
        return tf.cast(resized, images.dtype)

    def compute_output_shape(
        self, images_shape: tuple[int | None, ...], like_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Size of the second, channels of the first."""
        return (images_shape[0], like_shape[1], like_shape[2], images_shape[3])
