"""A network as it is run: the function of the Keras model up to rounding, with less work.

In inference batch norm is a factor and a summand of each channel. The kernel of the convolution
before it takes the factor, so that a bias is left, which TensorFlow computes together with the
convolution and the activation; with batch norm between them it cannot, and where it uses oneDNN the
convolutions are many times slower. A bias that a 1x1 convolution follows at once is moved into the
bias of that. What the kernels and biases then are is computed once for all calls.

Folding multiplies the weights instead of the features. It moves logits by less than 1e-6 of their
standard deviation, as computing the convolutions in another order does.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from deeplab.models.batch_norm import BatchNorm
from deeplab.models.deeplab_v3_plus import DeepLabModel
from deeplab.models.resize import resize_bilinear

_Convolution: TypeAlias = keras.layers.Conv2D | keras.layers.DepthwiseConv2D
_Value: TypeAlias = Callable[[], tf.Tensor]


class FoldedFunction:
    """A part of a functional Keras model, images -> a tensor, computed as in inference."""

    def __init__(
        self, inputs: keras.KerasTensor, outputs: keras.KerasTensor, *, constant_below: int = 0
    ) -> None:
        """Takes the weights that the layers have when the function is called first.

        Args:
            inputs: of the model.
            outputs: any of its tensors.
            constant_below: weights of fewer bytes are constants of the graph that calls the
                function, for a file that is loaded faster without so many variables; `refresh`
                leaves them as they are.
        """
        self._constant_below = constant_below
        self._graph = keras.Function(inputs, outputs)
        nodes = list(itertools.chain.from_iterable(self._graph._nodes_by_depth.values()))
        users = collections.Counter(id(x) for node in nodes for x in node.input_tensors)
        # What something else reads as well must keep its values.
        self._shared = {
            node.operation for node in nodes if any(users[id(x)] > 1 for x in node.outputs)
        }
        self._weights: dict[str, Any] = {}
        self._sources: dict[str, _Value] = {}  # of the variables

    @tf.autograph.experimental.do_not_convert
    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """The outputs for images."""
        # Keras itself runs graphs by other operations so; there is no public name for it.
        return self._graph._run_through_graph(images, operation_fn=self._in_inference)

    def refresh(self) -> None:
        """Takes the weights that the model has now."""
        for name, value in self._sources.items():
            self._weights[name].assign(value())

    def _weight(self, name: str, value: _Value) -> tf.Variable | np.ndarray:
        """What a kernel or a bias is, computed from the model's variables once for all calls."""
        if name not in self._weights:
            with tf.init_scope():
                computed = value()
                if computed.numpy().nbytes < self._constant_below:
                    self._weights[name] = computed.numpy()
                else:
                    self._weights[name] = tf.Variable(computed, trainable=False, name=name)
                    self._sources[name] = value
        return self._weights[name]

    def _in_inference(self, layer: keras.layers.Layer) -> Callable[..., Any]:
        """How a layer is computed."""
        # Layers that extend these are left alone: they may do more. Keras keeps `training` as an
        # argument of those that know it; that of a network that is run is False.
        if type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D):
            return lambda x: self._convolution(layer, x)

        def run(*inputs: Any, **settings: Any) -> Any:
            if type(layer) is BatchNorm and isinstance(inputs[0], _Pending):
                return self._unless_shared(layer, _normalized(layer, inputs[0]))
            return layer(*keras.tree.map_structure(self._computed, inputs), **settings)

        return run

    def _convolution(self, layer: _Convolution, x: Any) -> Any:
        convolution = _Pending(
            layer.name,
            layer,
            x,
            lambda: tf.convert_to_tensor(layer.kernel),
            (lambda: tf.convert_to_tensor(layer.bias)) if layer.use_bias else None,
        )
        if isinstance(x, _Pending):
            convolution = _with_bias_moved(convolution, x)
        convolution = dataclasses.replace(convolution, inputs=self._computed(convolution.inputs))
        return self._unless_shared(layer, convolution)

    def _unless_shared(self, layer: keras.layers.Layer, x: _Pending) -> Any:
        return self._computed(x) if layer in self._shared else x

    def _computed(self, x: Any) -> Any:
        """The value of what may be a convolution that waits for what follows."""
        if not isinstance(x, _Pending):
            return x
        layer = x.layer
        kernel = self._weight(f"{x.name}/kernel", x.kernel)
        convolve = (
            keras.ops.depthwise_conv
            if isinstance(layer, keras.layers.DepthwiseConv2D)
            else keras.ops.conv
        )
        with tf.name_scope(x.name):
            result = convolve(
                tf.cast(x.inputs, layer.compute_dtype),
                tf.cast(kernel, layer.compute_dtype),
                strides=layer.strides,
                padding=layer.padding,
                dilation_rate=layer.dilation_rate,
                data_format="channels_last",
            )
            if x.bias is None:
                return result
            bias = self._weight(f"{x.name}/bias", x.bias)
            return tf.nn.bias_add(result, tf.cast(bias, layer.compute_dtype))


class InferenceNetwork(FoldedFunction):
    """Images float32 [B,H,W,C], 0..255 -> logits of low resolution, float32 [B,h,w,C].

    Attributes:
        input_channels: of the images.
        resize: how logits are resized to the image, a key of `RESIZES`.
        logits_stride: size of the image over that of the logits.
    """

    def __init__(self, model: DeepLabModel, *, constant_below: int = 0) -> None:
        """Takes the weights that the model has when the network is called first."""
        outputs = model.endpoints["logits_low_resolution"]
        super().__init__(model.input, outputs, constant_below=constant_below)
        self.input_channels = model.input_channels
        self.resize = model.resize
        self.logits_stride = model.logits_stride

    def full_logits(self, images: tf.Tensor) -> tf.Tensor:
        """What the model gives: logits float32 [B,H,W,C]."""
        height, width = tf.unstack(tf.shape(images)[1:3])
        logits = resize_bilinear(self(images), height, width, method=self.resize)
        logits.set_shape([*images.shape[:3], logits.shape[3]])
        return logits


@dataclasses.dataclass(frozen=True)
class _Pending:
    """A convolution that is not computed yet: what follows may change its kernel and bias.

    Attributes:
        name: of the last layer that is in it.
        layer: says how to convolve.
        inputs: of the convolution.
        kernel: float32, as the layer has it.
        bias: float32 [C]; None for none.
    """

    name: str
    layer: _Convolution
    inputs: Any
    kernel: _Value
    bias: _Value | None


def _normalized(norm: BatchNorm, x: _Pending) -> _Pending:
    """A convolution and the batch norm behind it."""

    def scale() -> tf.Tensor:
        return norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)

    def kernel() -> tf.Tensor:
        of_channels = scale()
        if isinstance(x.layer, keras.layers.DepthwiseConv2D):  # [h,w,C,1]
            of_channels = of_channels[:, tf.newaxis]
        return x.kernel() * of_channels

    def bias() -> tf.Tensor:
        before = -norm.moving_mean if x.bias is None else x.bias() - norm.moving_mean
        return norm.beta + before * scale()

    return dataclasses.replace(x, name=norm.name, kernel=kernel, bias=bias)


def _with_bias_moved(pointwise: _Pending, before: _Pending) -> _Pending:
    """A 1x1 convolution that reads another one without its bias, which is in its own instead."""
    moved, layer = before.bias, pointwise.layer
    # A larger kernel reads zeros beside the image, where there is no bias.
    is_pointwise = isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)
    if moved is None or not is_pointwise or layer.groups != 1:
        return pointwise

    def bias() -> tf.Tensor:
        summed = tf.linalg.matvec(pointwise.kernel()[0, 0], moved(), transpose_a=True)
        return summed if pointwise.bias is None else pointwise.bias() + summed

    return dataclasses.replace(pointwise, inputs=dataclasses.replace(before, bias=None), bias=bias)
