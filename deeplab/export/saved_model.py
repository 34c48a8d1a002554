"""SavedModel for serving: four signatures on one frozen core, any image size and batch size."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from deeplab.data.files.decode import decode_image
from deeplab.export.exif import orientation, upright
from deeplab.export.freeze import freeze
from deeplab.export.metadata import metadata
from deeplab.export.source import Source
from deeplab.export.verify import Verification, sample_images, verify
from deeplab.models import DeepLabModel
from deeplab.out_of_memory import explained, inference_advice
from deeplab.paths import for_reading

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
_RGB, _PNG_CHANNELS = 3, 4
_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")

Outputs = dict[str, tf.Tensor]


class ServedModel(tf.Module):
    """The signatures; needs neither Keras nor this package once it is saved."""

    def __init__(self, model: DeepLabModel, *, ignore_label: int = 255) -> None:
        """Freezes the model; `ignore_label` is the class of what lies outside an image."""
        super().__init__()
        self._ignore_label = ignore_label
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
        """JPEG or PNG files, string [B], B > 0 -> classes, probabilities and sizes int32 [B,2].

        Each goes through the network alone and unpadded, so that no result depends on its batch
        mates; the results are padded to the largest at the bottom and the right.
        """
        decode = _decode_rgb if self._pixels.shape[-1] == _RGB else _decode_rgba
        images = tf.TensorArray(
            tf.uint8,
            tf.size(image_bytes),
            clear_after_read=False,
            infer_shape=False,
            element_shape=self._pixels.shape[1:],
        )
        _, images = tf.while_loop(
            lambda index, _: index < tf.size(image_bytes),
            lambda index, images: (index + 1, images.write(index, decode(image_bytes[index]))),
            (0, images),
        )
        each = partial(tf.map_fn, elems=tf.range(tf.size(image_bytes)), parallel_iterations=1)
        size = tf.TensorSpec([2], tf.int32)
        sizes = each(lambda index: tf.shape(images.read(index))[:2], fn_output_signature=size)
        largest = tf.reduce_max(sizes, 0)

        def segment(index: tf.Tensor) -> Outputs:
            outputs = self._probabilities(images.read(index)[tf.newaxis])
            classes, probabilities = outputs["classes"][0], outputs["probabilities"][0]
            missing = tf.pad((largest - sizes[index])[:, tf.newaxis], [[0, 0], [1, 0]])
            return {
                "classes": tf.pad(classes, missing, constant_values=self._ignore_label),
                "probabilities": tf.pad(probabilities, tf.pad(missing, [[0, 1], [0, 0]])),
            }

        probabilities = self.core.structured_outputs.shape[1:]
        outputs = each(
            segment,
            fn_output_signature={
                "classes": tf.TensorSpec(probabilities[:-1], tf.int32),
                "probabilities": tf.TensorSpec(probabilities, tf.float32),
            },
        )
        return {**outputs, "sizes": sizes}


def write(source: Source, folder: Path) -> Verification:
    """Writes the SavedModel into an empty folder and compares it with the model.

    Raises:
        DeepLabError: if they differ.
    """
    served = ServedModel(source.model, ignore_label=source.description.ignore_label)
    save(served, folder, metadata(source))
    # What is compared is what lies on the disk, loaded as a server would.
    loaded = tf.saved_model.load(for_reading(folder))
    logits = loaded.signatures["logits"]
    origin, images = sample_images(source.description)
    with explained("comparing the export with the model", inference_advice):
        return verify(
            lambda image: source.model(image, training=False),
            lambda image: logits(images=image)["logits"],
            images,
            origin,
        )


def save(served: ServedModel, folder: Path, metadata: dict[str, Any]) -> None:
    """Writes the SavedModel into a folder, with the metadata as an asset."""
    source = folder / METADATA
    source.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    served.metadata = tf.saved_model.Asset(str(source))
    tf.saved_model.save(served, str(folder), signatures=served.signatures())
    source.unlink()  # It lies in assets/ now.


def _classes(logits: tf.Tensor) -> tf.Tensor:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def _decode_rgb(data: tf.Tensor) -> tf.Tensor:
    return upright(decode_image(data), orientation(data))


def _decode_rgba(data: tf.Tensor) -> tf.Tensor:
    # As in training, where the fourth channel is data and the file is taken as it is.
    return tf.io.decode_png(data, channels=_PNG_CHANNELS)
