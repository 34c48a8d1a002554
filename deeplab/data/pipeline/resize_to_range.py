"""Resizing images into a range of sizes, before anything else is done to them.

As the original's `resize_to_range` (core/preprocess_utils.py), which its flags `min_resize_value`,
`max_resize_value` and `resize_factor` switch on for training and evaluation alike.
"""

from __future__ import annotations

import tensorflow as tf

from deeplab.data.pipeline.resampling import label_window, whole_window


def resize_to_range(
    image: tf.Tensor,
    label: tf.Tensor,
    *,
    min_side: int,
    max_side: int | None = None,
    multiple: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes image (bilinear) and label (nearest) to the size that `size_in_range` gives.

    Args:
        image: uint8 or float32 [H, W, C].
        label: [H, W] of any integer type.
        min_side: see `size_in_range`, as the other two.
        max_side: None: no limit.
        multiple: None: any size.

    Returns:
        float32 [H', W', C] in the same range, and [H', W'] of the label's type.
    """
    size = size_in_range(tf.shape(label), min_side=min_side, max_side=max_side, multiple=multiple)
    image = tf.raw_ops.ResizeBilinear(
        images=tf.cast(image, tf.float32)[None], size=size, align_corners=True
    )[0]
    return image, label_window(label, whole_window(tf.shape(label), size))


def size_in_range(
    size: tf.Tensor, *, min_side: int, max_side: int | None = None, multiple: int | None = None
) -> tf.Tensor:
    """The size of an image after `resize_to_range`; the aspect ratio is kept, but for rounding.

    Args:
        size: int32 [2], height and width.
        min_side: pixels that the shorter side gets.
        max_side: if the longer side would get more pixels than these, it gets these instead.
        multiple: both sides are raised to a multiple of it plus one, for which `max_side` is first
            lowered to such a number.

    Returns:
        int32 [2], at least one pixel. Sides are rounded down in single precision, like the
        original's: where the exact quotient is a whole number, it may become one pixel less.
    """
    sides = tf.cast(size, tf.float32)
    wanted = _floor(sides * (min_side / tf.reduce_min(sides)))
    if max_side is not None:
        if multiple is not None:
            max_side -= (max_side - 1) % multiple
        limited = _floor(sides * (max_side / tf.reduce_max(sides)))
        wanted = tf.where(tf.reduce_max(wanted) > max_side, limited, wanted)
    if multiple is not None:
        wanted += (1 - wanted) % multiple
    return wanted


def _floor(sides: tf.Tensor) -> tf.Tensor:
    return tf.maximum(tf.cast(tf.floor(sides), tf.int32), 1)
