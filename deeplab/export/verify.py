"""Is what was exported the model? Compared on images before the export gets its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.data import evaluation_batches, load_dataset
from deeplab.errors import DeepLabError
from deeplab.model_dir import ModelDescription

_NUM_IMAGES = 4
# Folding reorders float arithmetic: the largest difference over the standard deviation, and the
# share of pixels that may change class at near ties.
_TOLERANCE = 2e-3
_CHANGED_PIXELS = 1e-3


class Verification(NamedTuple):
    """What was compared and how far apart it was.

    Attributes:
        images: where the images came from.
        num_images: how many.
        difference: largest difference over the standard deviation of what was compared.
        changed_pixels: share of pixels with another class; None where there are no classes.
        compared: "logits" or "features".
    """

    images: str
    num_images: int
    difference: float
    changed_pixels: float | None
    compared: str = "logits"

    def __str__(self) -> str:
        """For the user."""
        line = (
            f"compared with the model on {self.num_images} images of {self.images}: "
            f"{self.compared} differ by {self.difference:.1e} of their standard deviation"
        )
        if self.changed_pixels is None:
            return line
        return f"{line}, {self.changed_pixels:.3%} of the pixels change class"


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
    model: Callable[[tf.Tensor], tf.Tensor],
    exported: Callable[[tf.Tensor], tf.Tensor],
    images: list[np.ndarray],
    source: str,
    *,
    compared: str = "logits",
    tolerance: float = _TOLERANCE,
) -> Verification:
    """Compares an exported function of images with the one of the Keras model.

    Args:
        model: images float32 [1,H,W,C], 0..255, to logits or features.
        exported: the same of the export.
        images: what they are compared on.
        source: where the images came from.
        compared: "logits" or "features", of which no classes are compared.
        tolerance: the largest difference over the standard deviation.

    Raises:
        DeepLabError: if they differ by more than rounding.
    """
    differences, changed = [], []
    for image in images:
        expected = np.asarray(model(tf.constant(image)))
        found = np.asarray(exported(tf.constant(image)))
        differences.append(float(np.abs(found - expected).max() / max(expected.std(), 1e-12)))
        changed.append(float((found.argmax(-1) != expected.argmax(-1)).mean()))
    changed_pixels = max(changed) if compared == "logits" else None
    result = Verification(source, len(images), max(differences), changed_pixels, compared)
    # Written so that a NaN is a difference.
    if not (result.difference <= tolerance and (changed_pixels or 0) <= _CHANGED_PIXELS):
        raise DeepLabError(
            f"the exported model is not the Keras model, nothing was exported: {result}"
        )
    return result
