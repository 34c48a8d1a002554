"""What the classifier that was kept with an imported backbone says of a photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab.data.files.pixels import read_pixels
from deeplab.errors import DeepLabError
from deeplab.model_dir import (
    CLASSIFIER_GROUP,
    ClassifierDescription,
    find_checkpoint,
    read_description,
    restore_checkpoint,
)
from deeplab.models import build_classifier, classifier_variables

_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


def classify(*, model_dir: str | Path, photo: str | Path, most: int = 5) -> list[tuple[int, float]]:
    """The likeliest classes of a photograph, by the classifier that an import kept.

    Args:
        model_dir: folder that an import made with its classifier.
        photo: an image file.
        most: how many classes are given.

    Returns:
        ids and their probabilities, the likeliest first.

    Raises:
        DeepLabError: if the folder has no classifier, or the file is no image.
    """
    description = read_description(model_dir)
    kept = description.classifier
    if kept is None:
        raise DeepLabError(
            f"{model_dir} has no classifier: import the backbone with --keep_classifier"
        )
    model = build_classifier(
        description.config, num_classes=kept.classes, hidden_channels=kept.hidden_channels
    )
    backbone, behind = classifier_variables(model)
    restore_checkpoint(find_checkpoint(model_dir), {"model": backbone, CLASSIFIER_GROUP: behind})
    logits = model(resized_center(read_pixels(Path(photo)), kept)[None].astype(np.float32))
    probabilities = tf.nn.softmax(logits).numpy()[0]
    return [(int(i), float(probabilities[i])) for i in np.argsort(-probabilities)[:most]]


def resized_center(image: np.ndarray, description: ClassifierDescription) -> np.ndarray:
    """uint8 [H,W,3] -> uint8 [crop,crop,3]: the shorter side resized, and the center of that."""
    height, width = image.shape[:2]
    scale = description.resize / min(height, width)
    size = (int(width * scale), int(height * scale))
    picture = Image.fromarray(image).resize(size, _FILTERS[description.interpolation])
    left, top = ((side - description.crop) // 2 for side in size)
    box = (left, top, left + description.crop, top + description.crop)
    return np.asarray(picture.crop(box))
