"""DeepLabv3+ composed of backbone, ASPP and decoder (arXiv 1802.02611, figure 2)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from types import MappingProxyType
from typing import Any

import keras

from deeplab import checks
from deeplab.errors import DeepLabError
from deeplab.models import layers
from deeplab.models.aspp import ImagePooling, aspp
from deeplab.models.backbones import TAPS
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.config import ModelConfig
from deeplab.models.decoder import (
    concat_stage,
    convolutions,
    decoder,
    linear_convolutions,
    sum_stage,
)
from deeplab.models.dense_prediction_cell import dense_prediction_cell
from deeplab.models.layers import Activation, Tensor
from deeplab.models.quantization import copy_weights, quantized
from deeplab.models.resize import ResizeLike, scaled_size

_HEAD_NORM = BatchNormSettings(epsilon=1e-5, momentum=0.9997)


@keras.saving.register_keras_serializable("deeplab")
class DeepLabModel(keras.Model):
    """A functional Keras model that knows its configuration and its intermediate tensors.

    In a file that `save` writes the configuration stands for the layers: `from_config` builds the
    network anew, and so with all that this class knows.

    Attributes:
        model_config: what it was built from, with `num_classes` filled in.
        endpoints: the tensors that `intermediates` gives.
    """

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: keras.KerasTensor,
        *,
        model_config: ModelConfig,
        endpoints: dict[str, keras.KerasTensor],
        name: str,
    ) -> None:
        """Called by `build_model`."""
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.model_config = model_config
        # Read only, and so not a container that Keras would track.
        self.endpoints = MappingProxyType(endpoints)

    @property
    def input_channels(self) -> int:
        """Channels of the images."""
        return self.model_config.resolved_input_channels

    @property
    def resize(self) -> str:
        """How logits and images are resized, a key of `RESIZES`."""
        return self.model_config.resize

    @property
    def logits_stride(self) -> float:
        """Size of the image over that of "logits_low_resolution"."""
        config = self.model_config
        stride = min(config.resolved_decoder_strides, default=config.output_stride)
        return stride / max(1.0, *config.image_pyramid)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs, for Keras."""
        return {
            "model_config": self.model_config.to_dict(),
            "image_size": self.input.shape[1:3],
            "dtype_policy": self.dtype_policy.name,
            "fixed_layers": [layer.name for layer in self.layers if not layer.trainable],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DeepLabModel:
        """The network with fresh weights.

        Raises:
            DeepLabError: for a configuration that this version does not know.
        """
        model = build_model(
            ModelConfig.from_dict(config["model_config"]),
            image_size=tuple(config["image_size"]),
            dtype_policy=config["dtype_policy"],
        )
        for name in config["fixed_layers"]:
            model.get_layer(name).trainable = False
        return model


def build_model(
    config: ModelConfig,
    *,
    image_size: tuple[int, int] | None = None,
    dtype_policy: str = "float32",
) -> DeepLabModel:
    """The network of a configuration, with fresh weights.

    Args:
        config: the configuration, with `num_classes`.
        image_size: height and width of all images, for what needs static shapes; None: any.
        dtype_policy: "float32", "mixed_bfloat16" or "mixed_float16". The type that layers compute
            in; variables, moving statistics and logits are float32 always.

    Returns:
        images float32 [B,H,W,3] (or `input_channels`), RGB, 0..255, to logits float32
        [B,H,W,num_classes].

    Raises:
        DeepLabError: if `num_classes` is still open.
    """
    _num_classes(config)
    with _dtype_policy(dtype_policy):
        return _build(config, image_size or (None, None))


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """The policy of all layers that are made inside."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build(config: ModelConfig, image_size: tuple[int | None, int | None]) -> DeepLabModel:
    shape = (*image_size, config.resolved_input_channels)
    images = keras.Input(shape, dtype="float32", name="images")
    if config.image_pyramid == (1.0,):
        endpoints = _network(images, config)
    else:
        endpoints = _pyramid(images, config)
    if config.quantization is not None:
        network = quantized(keras.Model(images, endpoints), config.quantization)
        images, endpoints = network.input, network.output
    resize = ResizeLike(method=config.resize, dtype="float32", name="logits.resize")
    x = resize(endpoints["logits_low_resolution"], images)
    endpoints["logits"] = x
    return DeepLabModel(
        images, x, model_config=config, endpoints=endpoints, name=f"deeplab_{config.backbone}"
    )


def _num_classes(config: ModelConfig) -> int:
    if config.num_classes is None:
        raise DeepLabError("num_classes is None: without a data set the number must be given")
    return config.num_classes


def _network(images: Tensor, config: ModelConfig) -> dict[str, Tensor]:
    """The end points of the network up to its logits, which have the last decoder's resolution."""
    backbone = config.resolved_backbone
    # One number stays one number: converters recognize the scaling of an image by it.
    several = isinstance(backbone.offset, tuple)
    offset = backbone.offsets(config.resolved_input_channels) if several else backbone.offset
    # In float32: bfloat16 has not the digits for an image of 0..255.
    x = keras.layers.Rescaling(backbone.scale, offset, dtype="float32", name="normalize")(images)
    features = backbone.build(
        x,
        output_stride=config.output_stride,
        norm=_with_momentum(backbone.norm, config.backbone_batch_norm_momentum),
        **config.backbone_settings,
    )
    x = features["high_level"]
    endpoints = {"high_level": x}
    strides = config.resolved_decoder_strides
    low_level = TAPS[strides[-1] if strides else min(TAPS)]
    if low_level in features:
        endpoints["low_level"] = features[low_level]

    head_norm = _with_momentum(_HEAD_NORM, config.head_batch_norm_momentum)
    activation = layers.relu6 if config.bounded_activation else layers.relu
    if config.aspp:
        x = endpoints["aspp"] = _aspp(x, config, activation, head_norm)
    if strides:
        low_levels = [(stride, features[TAPS[stride]]) for stride in strides]
        stage = _decoder_stage(config, activation, head_norm)
        x = endpoints["decoder"] = decoder(x, low_levels, images, stage=stage)
    if not config.decoder_outputs_logits:
        x = _logits(x, config)
    # Whatever the compute type of the layers, logits are float32: the loss and the argmax need it.
    x = keras.layers.Activation("linear", dtype="float32", name="logits.float32")(x)
    return {**endpoints, "logits_low_resolution": x}


def _aspp(
    x: Tensor, config: ModelConfig, activation: Activation, norm: BatchNormSettings
) -> Tensor:
    if config.dense_prediction_cell is not None:
        return dense_prediction_cell(
            x,
            branches=config.dense_prediction_cell,
            output_stride=config.output_stride,
            channels=config.aspp_channels,
            dropout_rate=config.dropout_rate,
            norm=norm,
        )
    window = None
    if config.image_pooling_crop_size is not None:
        height, width = config.image_pooling_crop_size
        scale = 1 / config.output_stride
        window = (scaled_size(height, scale), scaled_size(width, scale))
    pooling = ImagePooling(window, config.image_pooling_stride, config.image_pooling_gate)
    return aspp(
        x,
        rates=config.resolved_atrous_rates,
        channels=config.aspp_channels,
        image_pooling=pooling if config.image_pooling else None,
        separable=config.aspp_separable,
        projection=config.aspp_projection,
        dropout_rate=config.dropout_rate,
        activation=activation,
        norm=norm,
        resize=config.resize,
    )


def _decoder_stage(
    config: ModelConfig, activation: Activation, norm: BatchNormSettings
) -> Callable[..., Tensor]:
    """The stage that the decoder repeats."""
    if config.decoder_outputs_logits:
        channels, kernel_size, kinds = _num_classes(config), 1, linear_convolutions()
    else:
        channels, kernel_size = config.decoder_channels, 3
        kinds = convolutions(separable=config.decoder_separable, activation=activation, norm=norm)
    if config.decoder_merge == "sum":
        return partial(
            sum_stage,
            channels=channels,
            kernel_size=kernel_size,
            kinds=kinds,
            resize=config.resize,
        )
    return partial(
        concat_stage,
        channels=channels,
        low_level_channels=config.low_level_channels,
        kinds=kinds,
        resize=config.resize,
    )


def _logits(x: Tensor, config: ModelConfig) -> Tensor:
    """One 1x1 convolution, or without ASPP the sum of one convolution a rate (DeepLabv2)."""
    rates = (1,) if config.aspp else config.resolved_atrous_rates or (1,)
    branches = [
        layers.conv2d(
            x,
            _num_classes(config),
            config.logits_kernel_size,
            rate=rate,
            use_bias=True,
            initializer=layers.truncated_normal(0.01),
            name=f"logits_{index}" if index else "logits",
        )
        for index, rate in enumerate(rates)
    ]
    return keras.layers.Add(name="logits.sum")(branches) if len(branches) > 1 else branches[0]


def _pyramid(images: Tensor, config: ModelConfig) -> dict[str, Tensor]:
    """The end points with several scales: one pass each, all through the same layers.

    The features are those of the first scale.
    """
    inner = keras.Input((None, None, config.resolved_input_channels))
    network = keras.Model(inner, _network(inner, config))
    stride = min(config.resolved_decoder_strides, default=config.output_stride)
    resize = partial(ResizeLike, method=config.resize, dtype="float32")
    to_grid = partial(resize, max(1.0, *config.image_pyramid) / stride)
    endpoints: dict[str, Tensor] = {}
    logits = {}
    for scale in config.image_pyramid:
        name = f"scale_logits_{scale:.2f}"
        scaled = images
        if scale != 1:
            scaled = resize(scale, name=f"{name}.images")(images, images)
        # Not network(scaled): that would hide the layers in one layer.
        outputs = network.call(scaled)
        logits[name] = to_grid(name=f"{name}.resize")(outputs["logits_low_resolution"], images)
        endpoints = endpoints or outputs
    merged = next(iter(logits.values()))
    if len(logits) > 1:
        endpoints = {**endpoints, **logits}
        merge = keras.layers.Maximum if config.pyramid_merge == "max" else keras.layers.Average
        merged = merge(dtype="float32", name="logits.merge")(list(logits.values()))
    return {**endpoints, "logits_low_resolution": merged}


def deeplab_v3_plus(
    backbone: str, *, num_classes: int, output_stride: int = 16, **settings: Any
) -> DeepLabModel:
    """A DeepLabv3+ network with fresh weights.

    Args:
        backbone: a key of `BACKBONES`.
        num_classes: channels of the logits.
        output_stride: 8, 16 or 32.
        **settings: any other field of `ModelConfig`.

    Returns:
        images float32 [B,H,W,3], RGB, 0..255, any height and width, to logits float32
        [B,H,W,num_classes].

    Raises:
        DeepLabError: for an unknown backbone or a value that does not fit.
    """
    config = ModelConfig(
        backbone=backbone, num_classes=num_classes, output_stride=output_stride, **settings
    )
    return build_model(config)


def intermediates(model: DeepLabModel) -> keras.Model:
    """The same network, sharing the weights, with all its intermediate tensors.

    Returns:
        A model from images to a dictionary: "low_level", "high_level", "aspp", "decoder" (those
        that the network has), "logits_low_resolution" (before the last resize) and "logits"; with
        an image pyramid also "scale_logits_0.50" and so on, and the features are those of its
        first scale.
    """
    return keras.Model(model.input, dict(model.endpoints), name=f"{model.name}_intermediates")


def scale_logits(model: DeepLabModel) -> keras.Model:
    """The same network, sharing the weights, up to the logits that training compares with labels.

    Returns:
        A model from images to a dictionary of logits float32 [B,h,w,C], all before the last resize:
        "logits_low_resolution", and with an image pyramid also "scale_logits_0.50" and so on.

    Source: `multi_scale_logits` of the original's model.py.
    """
    names = [name for name in model.endpoints if name.startswith("scale_logits_")]
    tensors = {name: model.endpoints[name] for name in (*names, "logits_low_resolution")}
    return keras.Model(model.input, tensors, name=f"{model.name}_scale_logits")


def _with_momentum(norm: BatchNormSettings, momentum: float | None) -> BatchNormSettings:
    return norm if momentum is None else norm._replace(momentum=momentum)


def at_output_stride(model: DeepLabModel, output_stride: int) -> DeepLabModel:
    """A copy of a network at another output stride, with the same weights."""
    copy = build_model(model.model_config.at_output_stride(output_stride))
    copy.set_weights(model.get_weights())
    return copy


def float_network(model: DeepLabModel) -> DeepLabModel:
    """A copy of a quantized network with the same weights, of which none is rounded."""
    copy = build_model(dataclasses.replace(model.model_config, quantization=None))
    copy_weights(model, copy)
    return copy


def with_num_classes(config: ModelConfig, num_classes: int, *, source: str) -> ModelConfig:
    """The configuration with the class count of a data set.

    Raises:
        DeepLabError: if the configuration states another number; `source` names the data set.
    """
    found = checks.num_classes(config.num_classes, num_classes, source)
    return dataclasses.replace(config, num_classes=found)


def with_input_channels(config: ModelConfig, channels: int, *, source: str) -> ModelConfig:
    """The configuration with the channels of a data set's images.

    Raises:
        DeepLabError: if the configuration states another number; `source` names the data set.
    """
    found = checks.input_channels(config.input_channels, channels, source)
    return dataclasses.replace(config, input_channels=found)
