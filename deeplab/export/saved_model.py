"""SavedModel for serving: four signatures on one frozen core, any image size and batch size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from deeplab.export.freeze import freeze
from deeplab.models import DeepLabModel

METADATA = "metadata.json"
_IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
_PIXELS = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")

Outputs = dict[str, tf.Tensor]


class ServedModel(tf.Module):
    """The signatures; needs neither Keras nor this package once it is saved."""

    def __init__(self, model: DeepLabModel) -> None:
        """Freezes the model."""
        super().__init__()
        # The signatures call this one function, so that the weights are stored once.
        self.core = freeze(lambda images: model(images, training=False), _IMAGES)

    @tf.function(input_signature=[_PIXELS])
    def classes(self, images: tf.Tensor) -> Outputs:
        """uint8 [B,H,W,3] -> classes int32 [B,H,W]."""
        return {"classes": _classes(self.core(tf.cast(images, tf.float32)))}

    @tf.function(input_signature=[_PIXELS])
    def probabilities(self, images: tf.Tensor) -> Outputs:
        """uint8 [B,H,W,3] -> probabilities float32 [B,H,W,C] and classes."""
        logits = self.core(tf.cast(images, tf.float32))
        return {"probabilities": tf.nn.softmax(logits), "classes": _classes(logits)}

    @tf.function(input_signature=[_IMAGES])
    def logits(self, images: tf.Tensor) -> Outputs:
        """float32 [B,H,W,3], 0..255 -> logits float32 [B,H,W,C]."""
        return {"logits": self.core(images)}

    @tf.function(input_signature=[_BYTES])
    def image_bytes(self, image_bytes: tf.Tensor) -> Outputs:
        """JPEG or PNG files, string [B], all of one size -> classes and probabilities."""
        pixel = tf.TensorSpec([None, None, 3], tf.uint8)
        images = tf.map_fn(_decode, image_bytes, fn_output_signature=pixel)
        return self.probabilities(images)

    def signatures(self) -> dict[str, Any]:
        """Signature name -> function."""
        return {
            "serving_default": self.classes,
            "probabilities": self.probabilities,
            "logits": self.logits,
            "serving_bytes": self.image_bytes,
        }


def save(served: ServedModel, folder: Path, metadata: dict[str, Any]) -> None:
    """Writes the SavedModel into a folder, with the metadata as an asset."""
    source = folder / METADATA
    source.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    served.metadata = tf.saved_model.Asset(str(source))
    tf.saved_model.save(served, str(folder), signatures=served.signatures())
    source.unlink()  # It lies in assets/ now.


def _classes(logits: tf.Tensor) -> tf.Tensor:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def _decode(data: tf.Tensor) -> tf.Tensor:
    # The accurate method, as in training and evaluation: the default is up to 19 levels off.
    return tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(data, channels=3),
    )
