"""What the programs of the original would build and predict, from their command lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from deeplab.evaluation.original_protocol import Prediction, original_prediction_function
from deeplab.interop.tf1.flags import parse_flags
from deeplab.interop.tf1.network import network_config, read_network_flags
from deeplab.models import DeepLabModel, build_model


def model_from_flags(flags: str | Sequence[str], base_dir: str | Path = ".") -> DeepLabModel:
    """The network that a command line of the original describes, with fresh weights.

    Args:
        flags: as typed for train.py, eval.py, vis.py or export_model.py, a line or its words.
            Flags that are not given have the defaults of `flags.DEFAULTS`. Flags of the
            inference protocol change no network.
        base_dir: what relative paths in the flags are relative to.

    Returns:
        images float32 [B,H,W,3], RGB, 0..255, to logits float32 [B,H,W,num_classes]. With
        `crop_size` H and W are fixed, without it they are any. Image pooling is over the whole
        image in both cases, unless `image_pooling_crop_size` is given.

    Raises:
        DeepLabError: for a flag that is unknown or that we cannot honour; the message names it.
    """
    network = read_network_flags(flags, base_dir).network
    height_and_width = network.get("crop_size") or None
    return build_model(network_config(network), image_size=height_and_width)


def protocol_from_flags(flags: str | Sequence[str]) -> dict[str, Any]:
    """How a command line of the original wants predictions made.

    Returns:
        Keyword arguments of `predict_labels`.

    Raises:
        DeepLabError: for a flag or value that is unknown.
    """
    protocol = parse_flags(flags).values
    return {
        "eval_scales": protocol.get("eval_scales") or (1.0,),
        "flip": protocol.get("add_flipped_images", False),
        "upsample_logits": protocol.get("prediction_with_upsampled_logits", True),
    }


def predict_labels(
    model: DeepLabModel,
    images: tf.Tensor,
    eval_scales: Sequence[float] = (1.0,),
    flip: bool = False,
    upsample_logits: bool = True,
) -> Prediction:
    """Predicts in the original's order of steps; see `original_prediction_function`.

    Args:
        model: any network of this package.
        images: float32 [B,H,W,3], 0..255.
        eval_scales: sizes at which each image is seen, as factors of its own.
        flip: whether each of them is seen mirrored as well.
        upsample_logits: whether logits are resized before the argmax.

    Returns:
        labels int32 [B,H,W] and probabilities float32 [B,H,W,C].
    """
    predict = original_prediction_function(
        model, eval_scales=eval_scales, flip=flip, upsample_logits=upsample_logits
    )
    return predict(tf.convert_to_tensor(images, tf.float32))
