"""Is what was exported the model? Compared on images before the export gets its name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.errors import DeepLabError
from deeplab.export.images import fitted, sample_images
from deeplab.export.source import Source
from deeplab.out_of_memory import explained, inference_advice
from deeplab.runtimes.runtime import Images, Runtime

_TIMED_CALLS = 3


class Tolerance(NamedTuple):
    """How far an export may be from the model.

    Attributes:
        difference: the largest difference over the standard deviation.
        changed_pixels: share of pixels that may change class.
    """

    difference: float
    changed_pixels: float


# Folding reorders float arithmetic; pixels may change class at near ties.
EXACT = Tolerance(2e-3, 1e-3)
# Weights of fewer bits move every logit: what counts is what becomes of the classes. The bound on
# the logits is for networks that see one class everywhere.
FLOAT16 = Tolerance(0.5, 0.01)
INT8_WEIGHTS = Tolerance(2.0, 0.05)
INT8 = Tolerance(10.0, 0.1)


class Accuracy(NamedTuple):
    """Mean IoU of an export beside that of the model, on the same images.

    Attributes:
        export: 0..1; None if no pixel of the images has a label.
        model: likewise.
        images: where they come from.
        num_images: how many.
    """

    export: float | None
    model: float | None
    images: str
    num_images: int


class Verification(NamedTuple):
    """What was compared and how far apart it was.

    Attributes:
        images: where the images came from.
        num_images: how many.
        difference: largest difference over the standard deviation of what was compared.
        changed_pixels: share of pixels with another class; None where there are no classes.
        compared: "logits" or "features".
        milliseconds: that the classes of one image take, the fastest of a few calls after the
            first; None where that was not measured.
        timed_size: height and width of that image.
        accuracy: of an export whose numbers are so coarse that differences alone do not tell how
            good it is; None where that was not measured.
    """

    images: str
    num_images: int
    difference: float
    changed_pixels: float | None
    compared: str = "logits"
    milliseconds: float | None = None
    timed_size: tuple[int, int] | None = None
    accuracy: Accuracy | None = None

    def __str__(self) -> str:
        """For the user."""
        line = (
            f"compared with the model on {self.num_images} images of {self.images}: "
            f"{self.compared} differ by {self.difference:.1e} of their standard deviation"
        )
        if self.changed_pixels is None:
            return line
        return f"{line}, {self.changed_pixels:.3%} of the pixels change class"


def verify(
    model: Callable[[tf.Tensor], tf.Tensor],
    exported: Callable[[tf.Tensor], tf.Tensor],
    images: list[np.ndarray],
    source: str,
    *,
    classes: Callable[[tf.Tensor], tf.Tensor] | None = None,
    compared: str = "logits",
    tolerance: Tolerance = EXACT,
) -> Verification:
    """Compares an exported function of images with the one of the Keras model.

    Args:
        model: images float32 [1,H,W,C], 0..255, to logits or features.
        exported: the same of the export.
        images: what they are compared on.
        source: where the images came from.
        classes: images to class ids, of the export; None: the argmax of its logits.
        compared: "logits" or "features", of which no classes are compared.
        tolerance: how far apart they may be.

    Raises:
        DeepLabError: if they are farther apart.
    """
    differences, changed = [], []
    for image in images:
        expected = np.asarray(model(tf.constant(image)))
        found = np.asarray(exported(tf.constant(image)))
        ids = found.argmax(-1) if classes is None else np.asarray(classes(tf.constant(image)))
        differences.append(float(np.abs(found - expected).max() / max(expected.std(), 1e-12)))
        changed.append(float((ids != expected.argmax(-1)).mean()))
    changed_pixels = max(changed) if compared == "logits" else None
    result = Verification(source, len(images), float(np.max(differences)), changed_pixels, compared)
    # Written so that a NaN is a difference.
    if not (
        result.difference <= tolerance.difference
        and (changed_pixels or 0) <= tolerance.changed_pixels
    ):
        raise DeepLabError(
            f"the exported model is not the Keras model, nothing was exported: {result}"
        )
    return result


def verify_runtime(
    source: Source,
    runtime: Runtime,
    tolerance: Tolerance = EXACT,
    *,
    expected: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> Verification:
    """Compares what lies on the disk, run as its users will, with the Keras model.

    At a fixed size the model sees what the export sees: images cut and padded to that size.

    Args:
        source: the model.
        runtime: the opened export.
        tolerance: how far apart they may be.
        expected: what the export is to give for images; None: the logits of the model.

    Raises:
        DeepLabError: as `verify`.
    """
    origin, images = sample_images(source.description, source.calibration_images)
    if runtime.fixed_size is not None:
        pad_value = runtime.metadata.pad_value
        images = [fitted(image, runtime.fixed_size, pad_value) for image in images]

    def pixels(image: tf.Tensor) -> Images:
        return image.numpy().astype(np.uint8)

    with explained("comparing the export with the model", inference_advice):
        result = verify(
            expected or (lambda image: source.model(image, training=False)),
            lambda image: runtime.logits(pixels(image)),
            images,
            origin,
            classes=lambda image: runtime.classes(pixels(image)),
            tolerance=tolerance,
        )
        last = images[-1].astype(np.uint8)
        milliseconds = min(_milliseconds(runtime, last) for _ in range(_TIMED_CALLS))
    height, width = last.shape[1:3]
    return result._replace(milliseconds=milliseconds, timed_size=(height, width))


def _milliseconds(runtime: Runtime, images: Images) -> float:
    started = time.perf_counter()
    runtime.classes(images)
    return (time.perf_counter() - started) * 1000
