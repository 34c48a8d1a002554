"""An exported network that is known by heart, made for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

COLOR_CLASSES = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def export_of(
    network: Callable[[tf.Tensor], tf.Tensor], folder: Path, colors: Sequence[tuple[int, int, int]]
) -> Path:
    """A SavedModel of a function from images to logits, with a color per class."""

    class Served(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
        def logits(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"logits": network(images)}

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
        def classes(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            logits = network(tf.cast(images, tf.float32))
            return {"classes": tf.argmax(logits, axis=-1, output_type=tf.int32)}

    served = Served()
    signatures = {"logits": served.logits, "serving_default": served.classes}
    tf.saved_model.save(served, str(folder), signatures=signatures)
    metadata = {"classes": [f"class {k}" for k in range(len(colors))], "colors": colors}
    (folder / "assets" / "metadata.json").write_text(json.dumps(metadata))
    return folder
