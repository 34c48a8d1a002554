"""Reads checkpoints of the original TensorFlow 1 code (research/deeplab).

The name map is mechanical: our path of a variable gives the original's name. Source of the names:
the scopes in core/xception.py, slim's mobilenet_v2.py, core/feature_extractor.py and model.py.
"""

from __future__ import annotations

import re

import numpy as np
import tensorflow as tf

from deeplab.errors import DeepLabError
from deeplab.interop.report import ImportReport
from deeplab.models import DeepLabModel, variables_by_path

# What a training checkpoint holds besides the network.
_NOT_OF_THE_NETWORK = re.compile(r"^global_step$|/(Momentum|Adam(_1)?|ExponentialMovingAverage)$")

# Rules in order, (pattern of our path of a layer, the original's scope).
_HEAD_SCOPES = (
    (r"^aspp/image_pooling\b", "image_pooling"),
    (r"^aspp/conv(\d+)/(depthwise|pointwise)\b", r"aspp\1_\2"),
    (r"^aspp/conv(\d+)\b", r"aspp\1"),
    (r"^aspp/projection\b", "concat_projection"),
    (r"^decoder/low_level_projection\b", "decoder/feature_projection0"),
    (r"^decoder/conv(\d+)/(depthwise|pointwise)\b", r"decoder/decoder_conv\1_\2"),
    (r"^logits\b", "logits/semantic"),
)
_MOBILENET_V2_SCOPES = (
    (r"^backbone/conv\b", "MobilenetV2/Conv"),
    (r"^backbone/", "MobilenetV2/"),
)


def _xception_scopes(name: str) -> tuple[tuple[str, str], ...]:
    module = rf"{name}/\1/xception_module"
    return (
        (r"^backbone/(\w+/block\d+/unit_\d+)/(separable_conv\d)/(\w+)", rf"{module}/\2_\3"),
        (r"^backbone/(\w+/block\d+/unit_\d+)/shortcut\b", rf"{module}/shortcut"),
        (r"^backbone/", f"{name}/"),
    )


_BACKBONE_SCOPES = {
    "mobilenet_v2": _MOBILENET_V2_SCOPES,
    "xception_41": _xception_scopes("xception_41"),
    "xception_65": _xception_scopes("xception_65"),
    "xception_71": _xception_scopes("xception_71"),
}


def original_names(model: DeepLabModel) -> dict[str, str]:
    """Our path of each variable -> its name in a checkpoint of the original."""
    scopes = _HEAD_SCOPES + _BACKBONE_SCOPES[model.model_config.backbone]
    return {path: _original_name(path, scopes) for path in variables_by_path(model)}


def _original_name(path: str, scopes: tuple[tuple[str, str], ...]) -> str:
    name = path
    for pattern, scope in scopes:
        name, found = re.subn(pattern, scope, path, count=1)
        if found:
            break
    name = name.replace("/batch_norm/", "/BatchNorm/")
    if name.endswith("depthwise/kernel"):
        return f"{name.removesuffix('kernel')}depthwise_weights"
    return re.sub(r"/kernel$", "/weights", re.sub(r"/bias$", "/biases", name))


def read_checkpoint(prefix: str) -> dict[str, np.ndarray]:
    """All variables of a checkpoint in the V2 format, by name.

    Args:
        prefix: path without ".index"; a trailing ".index" is accepted.

    Raises:
        DeepLabError: if there is no readable checkpoint.
    """
    prefix = prefix.removesuffix(".index")
    try:
        reader = tf.train.load_checkpoint(prefix)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (ValueError, tf.errors.OpError) as error:
        raise DeepLabError(
            f"{prefix}: no readable TensorFlow checkpoint (expected {prefix}.index and its data)"
        ) from error


def load_checkpoint(model: DeepLabModel, prefix: str) -> ImportReport:
    """Loads a checkpoint of the original into a model of the same architecture.

    Nothing is assigned unless every variable of the model is there with its shape.

    Raises:
        DeepLabError: for a variable that is missing or has another shape, or a variable of the
            checkpoint that the model has no place for.
    """
    values = read_checkpoint(prefix)
    variables = variables_by_path(model)
    names = original_names(model)
    ignored = {name for name in values if _NOT_OF_THE_NETWORK.search(name)}
    report = ImportReport(
        source=f"tf1 {prefix}",
        loaded={name: values[name].shape for path, name in names.items() if name in values},
        missing={
            name: tuple(variables[path].shape) for path, name in names.items() if name not in values
        },
        unused={
            name: value.shape
            for name, value in values.items()
            if name not in ignored and name not in names.values()
        },
        ignored={name: values[name].shape for name in ignored},
    )
    for kind in ("missing", "unused"):
        if found := getattr(report, kind):
            name, shape = next(iter(found.items()))
            raise DeepLabError(
                f"{prefix}: {len(found)} {kind} variables, the first is {name} {list(shape)}: "
                f"this is not a checkpoint of {model.model_config}"
            )
    for path, name in names.items():
        if tuple(variables[path].shape) != values[name].shape:
            raise DeepLabError(
                f"{prefix}: {name} has the shape {list(values[name].shape)}, "
                f"the model needs {list(variables[path].shape)}"
            )
    for path, name in names.items():
        variables[path].assign(values[name])
    return report
