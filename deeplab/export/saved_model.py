"""SavedModel for serving: four signatures on one frozen core, any image size and batch size."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from deeplab.export.freeze import freeze
from deeplab.export.metadata import metadata
from deeplab.export.source import Source
from deeplab.export.verify import Verification, verify_runtime
from deeplab.models import DeepLabModel
from deeplab.runtimes.runtime import open_runtime

METADATA = "metadata.json"
# What a SavedModel consists of; the last two are of older and of later versions of TensorFlow.
CONTENTS = (
    "saved_model.pb",
    "assets",
    "fingerprint.pb",
    "variables",
    "assets.extra",
    "keras_metadata.pb",
)
_PNG_CHANNELS = 4
_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")

Outputs = dict[str, tf.Tensor]


class ServedModel(tf.Module):
    """The signatures; needs neither Keras nor this package once it is saved."""

    def __init__(self, model: DeepLabModel) -> None:
        """Freezes the model."""
        super().__init__()
        channels = model.input_channels
        self._images = tf.TensorSpec([None, None, None, channels], tf.float32, name="images")
        self._pixels = tf.TensorSpec([None, None, None, channels], tf.uint8, name="images")
        # The signatures call this one function, so that the weights are stored once.
        self.core = freeze(lambda images: model(images, training=False), self._images)

    def signatures(self) -> dict[str, Any]:
        """Signature name -> function.

        "serving_bytes" is left out for images that no JPEG or PNG file can hold.
        """
        signatures = {
            "serving_default": tf.function(self._classes, input_signature=[self._pixels]),
            "probabilities": tf.function(self._probabilities, input_signature=[self._pixels]),
            "logits": tf.function(self._logits, input_signature=[self._images]),
        }
        if self._pixels.shape[-1] <= _PNG_CHANNELS:
            signatures["serving_bytes"] = tf.function(self._image_bytes, input_signature=[_BYTES])
        return signatures

    def _classes(self, images: tf.Tensor) -> Outputs:
        """uint8 [B,H,W,channels] -> classes int32 [B,H,W]."""
        return {"classes": _classes(self.core(tf.cast(images, tf.float32)))}

    def _probabilities(self, images: tf.Tensor) -> Outputs:
        """uint8 [B,H,W,channels] -> probabilities float32 [B,H,W,C] and classes."""
        logits = self.core(tf.cast(images, tf.float32))
        return {"probabilities": tf.nn.softmax(logits), "classes": _classes(logits)}

    def _logits(self, images: tf.Tensor) -> Outputs:
        """float32 [B,H,W,channels], 0..255 -> logits float32 [B,H,W,C]."""
        return {"logits": self.core(images)}

    def _image_bytes(self, image_bytes: tf.Tensor) -> Outputs:
        """JPEG or PNG files, string [B], all of one size -> classes and probabilities."""
        channels = self._pixels.shape[-1]
        pixel = tf.TensorSpec([None, None, channels], tf.uint8)
        decode = _decode_rgb if channels == 3 else partial(tf.io.decode_png, channels=channels)
        return self._probabilities(tf.map_fn(decode, image_bytes, fn_output_signature=pixel))


def write(source: Source, folder: Path) -> Verification:
    """Writes the SavedModel into an empty folder and compares it with the model.

    Raises:
        DeepLabError: if they differ.
    """
    save(ServedModel(source.model), folder, metadata(source))
    return verify_runtime(source, open_runtime("saved_model", folder))


def save(served: ServedModel, folder: Path, stated: dict[str, Any]) -> None:
    """Writes the SavedModel into a folder, with the metadata as an asset."""
    source = folder / METADATA
    source.write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
    served.metadata = tf.saved_model.Asset(str(source))
    tf.saved_model.save(served, str(folder), signatures=served.signatures())
    source.unlink()  # It lies in assets/ now.


def _classes(logits: tf.Tensor) -> tf.Tensor:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def _decode_rgb(data: tf.Tensor) -> tf.Tensor:
    # The accurate method, as in training and evaluation: the default is up to 19 levels off.
    return tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(data, channels=3),
    )
