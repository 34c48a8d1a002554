"""Bilinear resizing, and how the pixels of two sizes lie over each other.

The original has aligned corners alone (model.py): corner pixels stay corners. Later libraries have
half-pixel centers: the outer edges of the pixels stay where they are.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

Shape = tuple[int | None, ...]

ALIGN_CORNERS = "align_corners"

_LARGEST_DENOMINATOR = 1024

# Kind of resizing -> the arguments by which TensorFlow's operations know it. `source_positions` has
# the formulas.
RESIZES: dict[str, dict[str, bool]] = {
    ALIGN_CORNERS: {"align_corners": True, "half_pixel_centers": False},
    "half_pixel": {"align_corners": False, "half_pixel_centers": True},
}


def resize_bilinear(
    images: tf.Tensor, height: tf.Tensor, width: tf.Tensor, *, method: str = ALIGN_CORNERS
) -> tf.Tensor:
    """[B,h,w,C] -> float32 [B,height,width,C], never antialiased; `method` is one of `RESIZES`."""
    return tf.raw_ops.ResizeBilinear(
        images=images, size=tf.stack([height, width]), **RESIZES[method]
    )


def source_positions(
    targets: tf.Tensor, size: tf.Tensor, target_size: tf.Tensor, *, method: str
) -> tf.Tensor:
    """Where the pixels of a resized side lie on the side before.

    Args:
        targets: int32 [N], each from 0 to target_size - 1.
        size: pixels of the side before, int32 scalar.
        target_size: pixels of the resized side, int32 scalar.
        method: one of `RESIZES`.

    Returns:
        float32 [N], each from 0 to size - 1, computed as in `resize_bilinear`.
    """
    targets = tf.cast(targets, tf.float32)
    if RESIZES[method]["align_corners"]:
        intervals = tf.cast(tf.maximum(target_size - 1, 1), tf.float32)
        return targets * (tf.cast(size - 1, tf.float32) / intervals)
    step = tf.cast(size, tf.float32) / tf.cast(target_size, tf.float32)
    # Outside the centers of the first and the last pixel the picture goes on as it ends there.
    return tf.clip_by_value((targets + 0.5) * step - 0.5, 0.0, tf.cast(size - 1, tf.float32))


def scaled_size(pixels: int, scale: float) -> int:
    """floor((pixels - 1) * scale + 1): corner pixels stay corners. 33 by 0.5 is 17."""
    return int((pixels - 1) * scale + 1)


def scaled_sizes(pixels: tf.Tensor, scale: float) -> tf.Tensor:
    """`scaled_size` of tensors, int32 of any shape.

    By factors that are whole numbers over a power of two (all but an image pyramid's 0.7 and the
    like) in whole numbers: LiteRT adds no float64, and there the results are the same.
    """
    numerator, denominator = float(scale).as_integer_ratio()
    if denominator > _LARGEST_DENOMINATOR:  # int32 would not hold the product
        return tf.cast(tf.cast(pixels - 1, tf.float64) * scale + 1.0, tf.int32)
    if numerator == denominator:
        return pixels
    return (pixels - 1) * numerator // denominator + 1


@keras.saving.register_keras_serializable("deeplab")
class ResizeLike(keras.layers.Layer):
    """Resizes the first tensor to the height and width of the second, also at run time.

    Keras' own resizing layers need the size when the network is built.

    Args:
        scale: factor on height and width of the second, as in `scaled_size`.
        method: one of `RESIZES`.
    """

    def __init__(self, scale: float = 1.0, *, method: str = ALIGN_CORNERS, **kwargs: Any) -> None:
        """Stores the settings."""
        super().__init__(**kwargs)
        self.scale = scale
        self.method = method

    def call(self, images: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """[B,h,w,C], [B,H,W,any] -> [B,H,W,C] (at scale 1) in the type of `images`."""
        height, width = tf.unstack(scaled_sizes(tf.shape(like)[1:3], self.scale))
        resized = resize_bilinear(images, height, width, method=self.method)
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
        return {**super().get_config(), "scale": self.scale, "method": self.method}
