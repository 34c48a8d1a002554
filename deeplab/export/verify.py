"""Is what was exported the model? Compared on images before the export gets its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.data import evaluation_batches, load_dataset
from deeplab.errors import DeepLabError
from deeplab.model_dir import ModelDescription
from deeplab.models import DeepLabModel

_NUM_IMAGES = 4
# Folding reorders float arithmetic: the largest difference of a logit over the standard deviation
# of the logits, and the share of pixels that may change class at near ties.
_LOGITS_TOLERANCE = 2e-3
_CHANGED_PIXELS = 1e-3


class Verification(NamedTuple):
    """What was compared and how far apart it was.

    Attributes:
        images: where the images came from.
        num_images: how many.
        logits_difference: largest difference over the standard deviation of the logits.
        changed_pixels: share of pixels with another class.
    """

    images: str
    num_images: int
    logits_difference: float
    changed_pixels: float


def sample_images(description: ModelDescription) -> tuple[str, list[np.ndarray]]:
    """A few images of the evaluation split, or drawn ones where there is no data set.

    Returns:
        Where they come from, and images float32 [1,H,W,3] (or the channels of the model), 0..255.
    """
    channels = description.config.resolved_input_channels
    training = description.training
    if training is not None:
        data = training["data"]
        try:
            dataset = load_dataset(
                data["dataset"],
                data_dir=training["data_dir"],
                source_dir=training["source_dir"],
                splits=[data["eval_split"]] if data["eval_split"] else (),
                may_prepare=False,
            )
            if dataset.input_channels == channels:
                batches = evaluation_batches(dataset, 1, data["eval_split"]).take(_NUM_IMAGES)
                return f"data set {dataset.name}", [batch["image"].numpy() for batch in batches]
        except (DeepLabError, OSError):
            # The data may be gone by the time a model is exported; any images will do.
            pass
    generator = np.random.Generator(np.random.PCG64(0))
    images = []
    for height, width in ((161, 161), (128, 192)):
        coarse = generator.uniform(0, 255, (1, height // 16, width // 16, channels)).astype(
            np.float32
        )
        images.append(tf.image.resize(coarse, (height, width), "bicubic").numpy().clip(0, 255))
    return "smooth random images", images


def verify(
    model: DeepLabModel,
    exported: Callable[[tf.Tensor], tf.Tensor],
    images: list[np.ndarray],
    source: str,
) -> Verification:
    """Compares an exported function from images to logits with the Keras model.

    Raises:
        DeepLabError: if they differ by more than rounding.
    """
    differences, changed = [], []
    for image in images:
        expected = model(image, training=False).numpy()
        logits = exported(tf.constant(image)).numpy()
        differences.append(float(np.abs(logits - expected).max() / max(expected.std(), 1e-12)))
        changed.append(float((logits.argmax(-1) != expected.argmax(-1)).mean()))
    result = Verification(source, len(images), max(differences), max(changed))
    if not (
        result.logits_difference <= _LOGITS_TOLERANCE and result.changed_pixels <= _CHANGED_PIXELS
    ):
        raise DeepLabError(
            f"the exported model is not the Keras model: on {source} its logits differ by "
            f"{result.logits_difference:.2g} of their standard deviation and "
            f"{result.changed_pixels:.2%} of the pixels change class; nothing was exported"
        )
    return result
