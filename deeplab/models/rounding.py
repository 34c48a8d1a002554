"""Layers that compute in float what 8-bit arithmetic will give; gradients pass as if they did not.

The rounding is that of Jacob et al., arXiv 1712.05877, section 3, by TensorFlow's operations for
it: they leave 0 as it is, and pass no gradient where a value lies outside of its range.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import tensorflow as tf

from deeplab.errors import DeepLabError

# Channels of zeros, and features that are zero everywhere, have a range all the same.
_SMALLEST_RANGE = 1e-6


def rounded_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """A kernel [..., C] in steps of 1/127 of the largest magnitude of each channel."""
    axes = list(range(kernel.shape.rank - 1))
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(kernel), axis=axes))
    largest = tf.maximum(largest, _SMALLEST_RANGE)
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -largest, largest, narrow_range=True
    )


class RoundedConv2D(keras.layers.Conv2D):
    """A convolution that computes with `rounded_kernel`."""

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The convolution without its bias."""
        return super().convolution_op(inputs, rounded_kernel(tf.convert_to_tensor(kernel)))


class RoundedDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """A depthwise convolution [h,w,C,1] without bias that computes with `rounded_kernel`."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B,H,W,C] -> [B,H',W',C]."""
        kernel = rounded_kernel(tf.convert_to_tensor(self.kernel)[..., 0])
        return keras.ops.depthwise_conv(
            inputs,
            kernel[..., tf.newaxis],
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )


class FeatureRange(keras.layers.Layer):
    """Measures the range of a feature in training, then rounds the feature to 256 levels in it.

    Args:
        observe_steps: see `QuantConfig`.
        range_momentum: likewise.
    """

    def __init__(self, observe_steps: int, range_momentum: float, **kwargs: Any) -> None:
        """Stores the settings; the variables follow in `build`."""
        super().__init__(**kwargs)
        self.observe_steps = observe_steps
        self.range_momentum = range_momentum

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes minimum, maximum and steps (how often they were measured), all scalars."""
        add = partial(
            self.add_weight,
            shape=(),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            aggregation="mean",
        )
        self.minimum = add(name="minimum")
        self.maximum = add(name="maximum")
        self.steps = add(name="steps")

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[...] -> [...]; measures when training."""
        if training:
            self._measure(inputs)
        minimum, maximum = (tf.convert_to_tensor(x) for x in (self.minimum, self.maximum))
        return tf.cond(
            tf.convert_to_tensor(self.steps) >= self.observe_steps,
            lambda: tf.quantization.fake_quant_with_min_max_vars(
                inputs, minimum, tf.maximum(maximum, minimum + _SMALLEST_RANGE)
            ),
            lambda: inputs,
        )

    def _measure(self, inputs: tf.Tensor) -> None:
        # 0 is in every range: it has to have a level, for padding and ReLU.
        smallest = tf.minimum(tf.reduce_min(inputs), 0.0)
        largest = tf.maximum(tf.reduce_max(inputs), 0.0)
        steps = self.steps + 1.0
        rate = tf.where(steps <= self.observe_steps, 1.0 / steps, 1.0 - self.range_momentum)
        self.minimum.assign(self.minimum + rate * (smallest - self.minimum))
        self.maximum.assign(self.maximum + rate * (largest - self.maximum))
        self.steps.assign(steps)

    def fixed(self) -> FixedRange:
        """The layer with the range as it is now.

        Raises:
            DeepLabError: if too few steps have been measured yet.
        """
        minimum, maximum, steps = (float(x) for x in self.get_weights())
        if steps < self.observe_steps:
            raise DeepLabError(
                f"the ranges of features have been measured in {steps:.0f} of "
                f"{self.observe_steps} steps (QuantConfig.observe_steps): train on"
            )
        return FixedRange(minimum, max(maximum, minimum + _SMALLEST_RANGE), name=self.name)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Same as the input."""
        return input_shape


class FixedRange(keras.layers.Layer):
    """Rounds a feature to 256 levels from minimum to maximum."""

    def __init__(self, minimum: float, maximum: float, **kwargs: Any) -> None:
        """Stores the range."""
        super().__init__(**kwargs)
        self.minimum = minimum
        self.maximum = maximum

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[...] -> [...]."""
        return tf.quantization.fake_quant_with_min_max_args(inputs, self.minimum, self.maximum)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Same as the input."""
        return input_shape
