"""`MobileNetV2ForSemanticSegmentation` of Hugging Face's transformers.

Source of the fields and of the rule for widths: transformers/models/mobilenet_v2, version 5.
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
from deeplab.export.hub.state_dict import (
    WEIGHTS,
    StateDict,
    fresh_batch_norm,
    state_dict,
    write_weights,
)
from deeplab.export.images import sample_images
from deeplab.export.source import Source
from deeplab.export.verify import EXACT, Verification, verify
from deeplab.interop.hub import hugging_face
from deeplab.interop.loading import Request, load
from deeplab.models import (
    ALIGN_CORNERS,
    DeepLabModel,
    ModelConfig,
    build_model,
    intermediates,
    variables_by_path,
)
from deeplab.models.backbones.inverted_residual import round_width
from deeplab.out_of_memory import explained, inference_advice
from deeplab.progress import warn

CONTENTS = (WEIGHTS, "config.json", "preprocessor_config.json", card.FILE_NAME)

_LIBRARY = "transformers"
# What a network there can have only one of.
_WANTED: Mapping[str, Any] = {
    "backbone": "mobilenet_v2",
    "input_channels": 3,
    "bounded_activation": False,
    "aspp": True,
    "dense_prediction_cell": None,
    "atrous_rates": (),
    "image_pooling": True,
    "image_pooling_crop_size": None,
    "image_pooling_gate": None,
    "aspp_channels": 256,
    "aspp_projection": True,
    "decoder": False,
    "logits_kernel_size": 1,
    "image_pyramid": (1.0,),
}
_DIVISOR = 8
_WIDTHS = (16, 24, 32, 64, 96, 160, 320)
_LAST_WIDTH = 1280  # of the convolution that segmentation does not use
# As published, where nothing says how large the images were.
_IMAGE_SIZE = 513
# Weights pass from file to network as they are: what may differ is rounding.
_TOLERANCE = EXACT._replace(difference=1e-5)

_CODE = """
import torch
from PIL import Image
from transformers import AutoImageProcessor, MobileNetV2ForSemanticSegmentation

folder = "."  # this folder, or its name on a hub
processor = AutoImageProcessor.from_pretrained(folder)
model = MobileNetV2ForSemanticSegmentation.from_pretrained(folder).eval()
image = Image.open("image.jpg").convert("RGB")
with torch.no_grad():
    outputs = model(**processor(image, return_tensors="pt"))
sizes = [(image.height, image.width)]
(classes,) = processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)
"""
_RESIZED_OTHERWISE = (
    "its logits were resized with aligned corners (ModelConfig.resize), transformers resizes with "
    "half-pixel centers: the logits are equal, classes at boundaries differ"
)


def check(config: ModelConfig) -> None:
    """Refuses a network that transformers does not have.

    Raises:
        DeepLabError: naming the field and its value.
    """
    require(config, _WANTED, library=_LIBRARY)
    multiplier = config.depth_multiplier
    divisor = config.backbone_options.get("divisible_by") or (_DIVISOR if multiplier == 1 else 1)
    if divisor != _DIVISOR:
        raise refused(
            f"depth_multiplier {multiplier:g} and divisible_by",
            divisor,
            f"{_DIVISOR} alone",
            library=_LIBRARY,
        )
    minimum = _DIVISOR if multiplier == 1 else 1
    for width in (32, *_WIDTHS):
        ours = round_width(width * multiplier, divisor, minimum)
        if (theirs := _scaled(width, multiplier)) != ours:
            raise refused(
                "depth_multiplier",
                multiplier,
                f"{width} channels become {theirs} there and {ours} here",
                library=_LIBRARY,
            )


def _scaled(width: int, multiplier: float) -> int:
    """A width as transformers scales it: it rounds twice."""
    return round_width(round(width * multiplier), _DIVISOR)


def write(source: Source, folder: Path) -> Verification:
    """Writes a folder that transformers loads, reads it again and compares it with the model.

    Raises:
        DeepLabError: if they differ.
    """
    config = source.model.model_config
    write_weights(folder, tensors(source.model))
    for name, values in (
        ("config.json", _config(source)),
        ("preprocessor_config.json", _preprocessing()),
    ):
        files.write_text(folder / name, json.dumps(values, indent=2) + "\n")
    files.write_text(folder / card.FILE_NAME, _card(source))
    result = _verify(source, folder)
    if config.resize == ALIGN_CORNERS:
        warn(f"hugging_face: {_RESIZED_OTHERWISE}")
    return result


def tensors(model: DeepLabModel) -> StateDict:
    """All tensors of the class there, those of the convolution that it does not use included."""
    names = {path: hugging_face.original_name(path) for path in variables_by_path(model)}
    multiplier = model.model_config.depth_multiplier
    # `finegrained_output`: never narrower.
    last, width = _scaled(320, multiplier), max(_LAST_WIDTH, _scaled(_LAST_WIDTH, multiplier))
    unused = hugging_face.UNUSED
    return {
        **state_dict(model, names, epsilon=hugging_face.epsilon),
        f"{unused}.convolution.weight": np.zeros((width, last, 1, 1), np.float32),
        **fresh_batch_norm(f"{unused}.normalization", width),
    }


def _config(source: Source) -> dict[str, Any]:
    description, config = source.description, source.model.model_config
    names = description.class_names
    training = description.training
    return {
        "architectures": list(hugging_face.ARCHITECTURES),
        "model_type": "mobilenet_v2",
        **hugging_face.FIXED,
        "classifier_dropout_prob": config.dropout_rate,
        "depth_divisible_by": _DIVISOR,
        "depth_multiplier": config.depth_multiplier,
        "finegrained_output": True,
        "id2label": {str(index): name for index, name in enumerate(names)},
        "image_size": training["data"]["crop_size"] if training else _IMAGE_SIZE,
        "initializer_range": 0.02,
        "label2id": {name: index for index, name in enumerate(names)},
        "output_stride": config.output_stride,
        "semantic_loss_ignore_index": description.ignore_label,
        "torch_dtype": "float32",
        "transformers_version": "4.25.0",  # the first that has the class
    }


def _preprocessing() -> dict[str, Any]:
    return {
        "image_processor_type": "MobileNetV2ImageProcessor",
        **hugging_face.FIXED_PREPROCESSING,
        # Networks here see images as they are.
        "do_resize": False,
        "do_center_crop": False,
    }


def _card(source: Source) -> str:
    remarks = [
        f"`{hugging_face.UNUSED}` is in the file because the class has it; segmentation does not "
        "use it. Its kernel is zero.",
        "The batch norms in the head of the class add 1e-5 to a variance, those of deeplab "
        "1.001e-5: the stored variances are higher by the difference.",
        "Before you fine-tune: the batch norms of the class have the momentum 0.997, which in "
        "PyTorch means that the moving statistics are nearly those of the last batch alone.",
    ]
    if source.model.model_config.resize == ALIGN_CORNERS:
        remarks.insert(0, f"In the model that this was made of, {_RESIZED_OTHERWISE}.")
    return card.card(
        source,
        library=_LIBRARY,
        task="image-segmentation",
        title=f"DeepLab with MobileNetV2, {len(source.description.class_names)} classes",
        code=_CODE,
        remarks=remarks,
        whole=True,
    )


def _verify(source: Source, folder: Path) -> Verification:
    request = Request(str(folder))
    found = hugging_face.read(request)
    read = build_model(found.config)
    load(read, found, source="hugging_face")
    if found.class_names not in (None, source.description.class_names):
        raise DeepLabError(f"{folder / 'config.json'} holds other class names than the model")
    # Before the last resize, which may be another one there.
    ours, theirs = intermediates(source.model), intermediates(read)
    origin, images = sample_images(source.description)

    def logits(network: Any, image: tf.Tensor) -> tf.Tensor:
        return network(image, training=False)["logits_low_resolution"]

    with explained("comparing the export with the model", inference_advice):
        return verify(
            lambda image: logits(ours, image),
            lambda image: logits(theirs, image),
            images,
            origin,
            tolerance=_TOLERANCE,
        )
