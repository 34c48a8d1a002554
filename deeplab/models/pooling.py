"""Averages over windows, for the image-level branch of ASPP."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("deeplab")
class WindowAverage(keras.layers.Layer):
    """Averages over windows that lie wholly inside, each side of which the map may clip.

    Args:
        window: height and width of a window; a side larger than that of the map is clipped to it.
        stride: vertical and horizontal distance of windows.
    """

    def __init__(self, window: tuple[int, int], stride: tuple[int, int], **kwargs: Any) -> None:
        """Stores the settings."""
        super().__init__(**kwargs)
        self.window = tuple(window)
        self.stride = tuple(stride)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B,h,w,C] -> [B,H,W,C], H and W the numbers of windows."""
        # One axis after the other: which of them is clipped is known only at run time.
        shape = self.compute_output_shape(tuple(x.shape))
        for axis in (1, 2):
            x = self._average(x, axis)
        x.set_shape(shape)
        return x

    def _average(self, x: tf.Tensor, axis: int) -> tf.Tensor:
        window, stride = self.window[axis - 1], self.stride[axis - 1]

        def over_all() -> tf.Tensor:
            return tf.reduce_mean(x, axis=axis, keepdims=True)

        def over_windows() -> tf.Tensor:
            along = (window, 1) if axis == 1 else (1, window)
            step = (stride, 1) if axis == 1 else (1, stride)
            return tf.nn.avg_pool2d(x, along, step, "VALID")

        size = x.shape[axis]
        if size is not None:
            return over_all() if size <= window else over_windows()
        return tf.cond(tf.shape(x)[axis] <= window, over_all, over_windows)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The numbers of windows."""
        batch, *sizes, channels = input_shape
        windows = (
            None if size is None else max(size - window, 0) // stride + 1
            for size, window, stride in zip(sizes, self.window, self.stride, strict=True)
        )
        return (batch, *windows, channels)

    def get_config(self) -> dict[str, Any]:
        """Settings, for Keras."""
        return {**super().get_config(), "window": self.window, "stride": self.stride}
