"""Reads checkpoints and frozen graphs of the original TensorFlow 1 code (research/deeplab).

The names of its variables are in `names`, its flags in `flags`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from deeplab.evaluation.original_protocol import Prediction, original_prediction_function
from deeplab.interop.loading import load
from deeplab.interop.report import ImportReport
from deeplab.interop.tf1.file import StoredVariables, open_variables
from deeplab.interop.tf1.flags import parse_flags
from deeplab.interop.tf1.names import original_names
from deeplab.interop.tf1.network import network_config, read_network_flags
from deeplab.interop.tf1.recognize import parts_to_load
from deeplab.models import DeepLabModel, ModelConfig, build_model, variables_by_path


def load_checkpoint(
    model: DeepLabModel,
    path: str,
    *,
    skip: Collection[str] = (),
    backbone_only: bool = False,
) -> ImportReport:
    """Loads a checkpoint or a frozen graph of the original into a model of the same architecture.

    Nothing is assigned unless every variable of the model is there with its shape.

    Args:
        model: the model.
        path: the prefix of the checkpoint, or a .pb file.
        skip: parts that keep the values that they have, of `tf1.findings.PARTS`.
        backbone_only: whether all but the backbone keeps its values, and whatever else the file
            holds is ignored.

    Raises:
        DeepLabError: for a variable that is missing or has another shape, or a variable of the
            file that the model has no place for.
    """
    return load_file(model, open_variables(path), skip=skip, backbone_only=backbone_only)


def load_file(
    model: DeepLabModel,
    file: StoredVariables,
    *,
    skip: Collection[str] = (),
    backbone_only: bool = False,
) -> ImportReport:
    """The same with an open file."""
    variables = variables_by_path(model)
    return load(
        {name: variables[path] for path, name in original_names(model).items()},
        file.shapes,
        file.read,
        path=file.path,
        source=f"tf1 {file.path}",
        parts=parts_to_load(model, file, skip=skip, backbone_only=backbone_only),
        expected=_summary(model.model_config),
    )


def _summary(config: ModelConfig) -> str:
    """The backbone, and what is not as usual."""
    settings = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name != "backbone" and field.default is not dataclasses.MISSING
    }
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    different = [f"{name}={value}" for name, value in settings.items() if value != usual[name]]
    return f"{config.backbone} with {', '.join(different)}"


def model_from_flags(flags: str | Sequence[str], base_dir: str | Path = ".") -> DeepLabModel:
    """The network that a command line of the original describes, with fresh weights.

    Args:
        flags: as typed for train.py, eval.py, vis.py or export_model.py, a line or its words.
            Flags that are not given have the defaults of `network.DEFAULTS`. Flags of the
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
