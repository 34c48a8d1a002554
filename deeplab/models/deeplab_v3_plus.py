"""DeepLabv3+ composed of backbone, ASPP and decoder (arXiv 1802.02611, figure 2)."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

import keras

from deeplab.errors import DeepLabError
from deeplab.models import layers
from deeplab.models.aspp import aspp
from deeplab.models.backbones import BACKBONES
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.config import ModelConfig
from deeplab.models.decoder import decoder
from deeplab.models.resize import ResizeLike

_HEAD_NORM = BatchNormSettings(epsilon=1e-5, momentum=0.9997)


class DeepLabModel(keras.Model):
    """A functional Keras model that knows its configuration and its intermediate tensors.

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


def build_model(config: ModelConfig) -> DeepLabModel:
    """The network of a configuration, with fresh weights.

    Returns:
        images float32 [B,H,W,3], RGB, 0..255, any height and width, to logits float32
        [B,H,W,num_classes].

    Raises:
        DeepLabError: if `num_classes` is still open.
    """
    if config.num_classes is None:
        raise DeepLabError("num_classes is None: without a data set the number must be given")
    backbone = BACKBONES[config.backbone]
    backbone_norm = _with_momentum(backbone.norm, config.backbone_batch_norm_momentum)
    head_norm = _with_momentum(_HEAD_NORM, config.head_batch_norm_momentum)

    images = keras.Input((None, None, 3), name="images")
    x = keras.layers.Rescaling(backbone.scale, backbone.offset, name="normalise")(images)
    widths = {"depth_multiplier": config.depth_multiplier} if backbone.has_depth_multiplier else {}
    features = backbone.build(x, output_stride=config.output_stride, norm=backbone_norm, **widths)
    x = aspp(
        features["high_level"],
        rates=config.resolved_atrous_rates,
        channels=config.aspp_channels,
        image_pooling=config.image_pooling,
        dropout_rate=config.dropout_rate,
        norm=head_norm,
    )
    endpoints = {**features, "aspp": x}
    if config.decoder:
        x = decoder(
            x,
            features["low_level"],
            low_level_channels=config.low_level_channels,
            channels=config.decoder_channels,
            norm=head_norm,
        )
        endpoints["decoder"] = x
    x = layers.conv2d(
        x,
        config.num_classes,
        1,
        use_bias=True,
        initializer=layers.truncated_normal(0.01),
        name="logits",
    )
    # Whatever the compute type of the layers, logits are float32: the loss and the argmax need it.
    x = keras.layers.Activation("linear", dtype="float32", name="logits.float32")(x)
    endpoints["logits_low_resolution"] = x
    x = ResizeLike(dtype="float32", name="logits.resize")(x, images)
    endpoints["logits"] = x
    return DeepLabModel(
        images, x, model_config=config, endpoints=endpoints, name=f"deeplab_{config.backbone}"
    )


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
        A model from images to a dictionary: "low_level", "high_level", "aspp", "decoder" (where
        there is one), "logits_low_resolution" (before the last resize) and "logits".
    """
    return keras.Model(model.input, dict(model.endpoints), name=f"{model.name}_intermediates")


def _with_momentum(norm: BatchNormSettings, momentum: float | None) -> BatchNormSettings:
    return norm if momentum is None else norm._replace(momentum=momentum)


def at_output_stride(model: DeepLabModel, output_stride: int) -> DeepLabModel:
    """A copy of a network at another output stride, with the same weights."""
    copy = build_model(model.model_config.at_output_stride(output_stride))
    copy.set_weights(model.get_weights())
    return copy


def with_num_classes(config: ModelConfig, num_classes: int, *, source: str) -> ModelConfig:
    """The configuration with the class count of a data set.

    Raises:
        DeepLabError: if the configuration states another number; `source` names the data set.
    """
    if config.num_classes not in (None, num_classes):
        raise DeepLabError(
            f"num_classes is {config.num_classes}, but {source} has {num_classes} classes; "
            "None takes the data set's"
        )
    return dataclasses.replace(config, num_classes=num_classes)
