"""Bilinear resizing with aligned corners, the only kind in the original (model.py)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

Shape = tuple[int | None, ...]


def resize_bilinear(images: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """[B,h,w,C] -> float32 [B,height,width,C]; source = target * (in - 1) / (out - 1)."""
    return tf.raw_ops.ResizeBilinear(
        images=images,
        size=tf.stack([height, width]),
        align_corners=True,
        half_pixel_centers=False,
    )


def scaled_size(pixels: int, scale: float) -> int:
    """floor((pixels - 1) * scale + 1): corner pixels stay corners. 33 by 0.5 is 17."""
    return int((pixels - 1) * scale + 1)


class ResizeLike(keras.layers.Layer):
    """Resizes the first tensor to the height and width of the second, also at run time.

    Keras' own resizing layers need the size when the network is built.

    Args:
        scale: factor on height and width of the second, as in `scaled_size`.
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        """Stores the scale."""
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, images: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """[B,h,w,C], [B,H,W,any] -> [B,H,W,C] (at scale 1) in the type of `images`."""
        size = tf.cast(tf.shape(like)[1:3] - 1, tf.float64) * self.scale + 1.0
        height, width = tf.unstack(tf.cast(size, tf.int32))
        resized = resize_bilinear(images, height, width)
        resized.set_shape(self.compute_output_shape(tuple(images.shape), tuple(like.shape)))
        return tf.cast(resized, images.dtype)

    def compute_output_shape(self, images_shape: Shape, like_shape: Shape) -> Shape:
        """Size by the second, channels of the first."""
        height, width = (
            None if pixels is None else scaled_size(pixels, self.scale)
            for pixels in like_shape[1:3]
        )
        return (images_shape[0], height, width, images_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Settings, for Keras."""
        return {**super().get_config(), "scale": self.scale}
