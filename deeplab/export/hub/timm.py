"""The backbone of an Xception as timm has it, and its ImageNet classifier where there is one.

Source of the names and fields: timm/models/xception_aligned.py, version 1.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab import files
from deeplab.errors import DeepLabError
from deeplab.export.hub import card
from deeplab.export.hub.conditions import refused, require
from deeplab.export.hub.state_dict import WEIGHTS, StateDict, state_dict, write_weights
from deeplab.export.images import sample_images
from deeplab.export.source import Classifier, Source
from deeplab.export.verify import EXACT, Verification, verify
from deeplab.interop.hub import layout, timm
from deeplab.interop.loading import Request, load
from deeplab.model_dir import ClassifierDescription
from deeplab.models import DeepLabModel, ModelConfig, build_model, intermediates
from deeplab.out_of_memory import explained, inference_advice

CONTENTS = (WEIGHTS, "config.json", card.FILE_NAME)

_LIBRARY = "timm"
_WANTED: Mapping[str, Any] = {
    "input_channels": 3,
    "multi_grid": None,
    "bounded_activation": False,
}
_NUM_FEATURES = 2048
_ARCHITECTURE_OF = {row.backbone: name for name, row in timm.ARCHITECTURES.items()}
# Weights pass from file to network as they are: what may differ is rounding.
_TOLERANCE = EXACT._replace(difference=1e-5)

_CODE = """
import timm
import torch

model = timm.create_model({architecture!r}, num_classes={num_classes}, {checkpoint}).eval()
images = torch.rand(1, 3, 299, 299) * 2 - 1  # RGB, x / 127.5 - 1
with torch.no_grad():
    features = model.forward_features(images)  # [1, 2048, 10, 10]
"""


def check(config: ModelConfig) -> None:
    """Refuses a backbone that timm does not have.

    Raises:
        DeepLabError: naming the field and its value.
    """
    if config.backbone not in _ARCHITECTURE_OF:
        choices = f"choices: {', '.join(_ARCHITECTURE_OF)}"
        raise refused("backbone", config.backbone, choices, library=_LIBRARY)
    require(config, _WANTED, library=_LIBRARY)


def write(source: Source, folder: Path) -> Verification:
    """Writes a folder that timm loads, reads it again and compares its features with the model's.

    Raises:
        DeepLabError: if they differ.
    """
    architecture = _ARCHITECTURE_OF[source.model.model_config.backbone]
    write_weights(folder, tensors(source.model, source.classifier(timm.CLASSIFIER)))
    kept = source.description.classifier or _without(architecture)
    text = json.dumps(_config(architecture, kept), indent=2)
    files.write_text(folder / "config.json", f"{text}\n")
    files.write_text(folder / card.FILE_NAME, _card(source, architecture, kept.classes))
    return _verify(source, folder)


def tensors(model: DeepLabModel, classifier: Classifier | None = None) -> StateDict:
    """All tensors of the class there; without a classifier those of `num_classes=0`.

    Args:
        model: an Xception.
        classifier: kernel [2048,N] and bias [N], by the paths of `timm.CLASSIFIER`.
    """
    row = timm.ARCHITECTURES[_ARCHITECTURE_OF[model.model_config.backbone]]
    backbone = state_dict(model, timm.names(model), epsilon=lambda name: row.epsilon)
    dense = {
        timm.CLASSIFIER[path]: layout.for_torch(value, depthwise=False)
        for path, value in (classifier or {}).items()
    }
    return {**backbone, **dense}


def _without(architecture: str) -> ClassifierDescription:
    """No classes, of images as timm's own weights of the architecture are evaluated with."""
    resize = timm.ARCHITECTURES[architecture].resize
    return ClassifierDescription(classes=0, resize=resize, crop=299, interpolation="bicubic")


def _config(architecture: str, classifier: ClassifierDescription) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "num_classes": classifier.classes,
        "num_features": _NUM_FEATURES,
        "pretrained_cfg": {
            "input_size": [3, classifier.crop, classifier.crop],
            "interpolation": classifier.interpolation,
            "crop_pct": round(classifier.crop / classifier.resize, 3),
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "num_classes": classifier.classes,
            "first_conv": "stem.0.conv",
            "classifier": "head.fc",
        },
    }


def _card(source: Source, architecture: str, num_classes: int) -> str:
    remarks = [
        "What DeepLab has behind its backbone (ASPP, decoder, logits) is not here: timm has no "
        "such layers.",
        "timm runs at output stride 32 unless it is told another one, such as `output_stride=16`. "
        "The weights are the same at each.",
    ]
    if not timm.ARCHITECTURES[architecture].pre_activation:
        remarks.append(
            "With `features_only=True` timm gives features behind a ReLU that the decoder of "
            "DeepLab reads before it."
        )
    if architecture == "xception71":
        remarks.append(
            "timm's xception71 at `output_stride=8` is another network: its `blocks.4`, which "
            "loses its stride there, has no projection shortcut, and the tensors "
            "`blocks.4.shortcut` of this file have no place. At 16 and 32 it is the same."
        )
    with_classifier = f" with a classifier of {num_classes:,} classes" if num_classes else ""
    return card.card(
        source,
        library=_LIBRARY,
        task="image-classification" if num_classes else "image-feature-extraction",
        title=f"{architecture}, a backbone of DeepLab{with_classifier}",
        code=_CODE.format(
            architecture=architecture,
            num_classes=num_classes,
            checkpoint=f'checkpoint_path="{WEIGHTS}"',
        ),
        remarks=remarks,
        whole=False,
    )


def _verify(source: Source, folder: Path) -> Verification:
    config = source.model.model_config
    # No head: what is compared is in front of it.
    alone = ModelConfig(
        config.backbone,
        num_classes=2,
        output_stride=config.output_stride,
        atrous_rates=(),
        image_pooling=False,
        aspp=False,
        decoder=False,
    )
    read = build_model(alone)
    found = timm.read(Request(str(folder), alone))
    load(read, found, source="timm")
    for path, value in (source.classifier(timm.CLASSIFIER) or {}).items():
        if not np.array_equal(found.stored.read(timm.CLASSIFIER[path]), value):
            raise DeepLabError(f"{folder / WEIGHTS} holds another {path} than the model")
    ours, theirs = intermediates(source.model), intermediates(read)
    origin, images = sample_images(source.description)

    def features(network: Any, image: tf.Tensor) -> tf.Tensor:
        return network(image, training=False)["high_level"]

    with explained("comparing the export with the model", inference_advice):
        return verify(
            lambda image: features(ours, image),
            lambda image: features(theirs, image),
            images,
            origin,
            compared="features",
            tolerance=_TOLERANCE,
        )
