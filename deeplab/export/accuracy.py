"""How good an export is, where that does not follow from how little it differs from the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from deeplab.errors import DeepLabError
from deeplab.evaluation import evaluate_model, label_function
from deeplab.export.images import fitted, labeled_images
from deeplab.export.source import Source
from deeplab.export.verify import Accuracy
from deeplab.runtimes.runtime import Runtime

_NUM_IMAGES = 64


def measure(source: Source, runtime: Runtime) -> Accuracy | None:
    """Mean IoU of an export and of its model, on the first 64 images of the evaluation split.

    Both see images in whole levels, at a fixed size cut and padded to it.

    Returns:
        None if there is no such split, or not any more.
    """
    description = source.description
    try:
        origin, images = labeled_images(description, "eval_split", _NUM_IMAGES)
    except (DeepLabError, OSError):
        return None

    def batches() -> Iterator[Mapping[str, tf.Tensor]]:
        for batch in images:
            image, label = np.rint(batch["image"]), batch["label"].numpy()[..., np.newaxis]
            if runtime.fixed_size is not None:
                image = fitted(image, runtime.fixed_size, description.pad_value)
                label = fitted(label, runtime.fixed_size, [description.ignore_label])
            label = tf.constant(label[..., 0])
            yield {"id": batch["id"], "image": tf.constant(image), "label": label}

    functions = (
        lambda image: runtime.classes(image.numpy().astype(np.uint8)),
        label_function(source.model),
    )
    found = [
        evaluate_model(
            function,
            batches(),
            class_names=description.class_names,
            ignore_label=description.ignore_label,
        )
        for function in functions
    ]
    export, model = (metrics["miou"] for metrics in found)
    return Accuracy(export, model, f"the evaluation split of {origin}", found[0]["num_images"])
