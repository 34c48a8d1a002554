"""Images with labels and predictions, as an evaluation hands them on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from deeplab.evaluation.examples import Scored
from deeplab.evaluation.metrics import confusion_matrix
from deeplab.evaluation.per_image import PerImage, PerImageCounts

Ids = npt.NDArray[np.integer]


def scored(name: str, labels: Ids, predictions: Ids, num_classes: int) -> Scored:
    """An image of noise."""
    pixels = np.random.default_rng(len(name)).integers(0, 256, (*labels.shape, 3), np.uint8)
    counts = confusion_matrix(labels, predictions, num_classes, 255)
    return Scored(name, pixels, labels, predictions, counts)


def random_images(
    count: int,
    num_classes: int,
    *,
    seed: int = 0,
    unused: int = 0,
    error: float = 0.3,
    size: Callable[[int], tuple[int, int]] = lambda index: (12, 16),
) -> list[Scored]:
    """Blocks of classes, of which a part is predicted as others; about a tenth is ignored.

    `unused` classes more are never there.
    """
    generator = np.random.default_rng(seed)
    images = []
    for index in range(count):
        height, width = size(index)
        blocks = generator.integers(0, num_classes, (-(-height // 4), -(-width // 4)))
        labels = blocks.repeat(4, 0).repeat(4, 1)[:height, :width]
        wrong = generator.integers(0, num_classes, labels.shape)
        predictions = np.where(generator.random(labels.shape) < error, wrong, labels)
        labels[generator.random(labels.shape) < 0.1] = 255
        images.append(scored(f"image {index:03d}", labels, predictions, num_classes + unused))
    return images


def counts_of(images: list[Scored], num_classes: int) -> PerImage:
    """What `evaluate` keeps of each image."""
    counts = PerImageCounts(num_classes)
    for image in images:
        counts.add(image)
    return counts.result()
