"""SavedModel for serving: four signatures on one network, of any number of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from deeplab.data.files.decode import decode_image
from deeplab.evaluation.argmax import argmax, resized_argmax
from deeplab.evaluation.inference import Network, is_plain, mean_probability_function
from deeplab.export.exif import orientation, upright
from deeplab.export.metadata import metadata
from deeplab.export.source import ANY_SIZE, Size, Source
from deeplab.export.verify import Verification, verify_runtime
from deeplab.models import DeepLabModel, InferenceNetwork, resize_bilinear
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
_RGB, _PNG_CHANNELS = 3, 4
# Bytes. Some dozen copies of smaller constants do no harm, while each variable is one more thing to
# restore: all weights of a MobileNetV2 as variables take 0.7 instead of 0.3 s to load.
_SMALLEST_VARIABLE = 2**14
_LEAST = 1e-37  # of a probability; its logarithm is a number
_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")

Outputs = dict[str, tf.Tensor]


class ServedModel(tf.Module):
    """The signatures; needs neither Keras nor this package once it is saved."""

    def __init__(
        self,
        model: DeepLabModel,
        *,
        ignore_label: int = 255,
        size: Size = ANY_SIZE,
        eval_scales: Sequence[float] = (1.0,),
        flip: bool = False,
    ) -> None:
        """Compiles the model.

        Args:
            model: the network.
            ignore_label: class of what lies outside an image of a request of several sizes.
            size: height and width of all images.
            eval_scales: as of `probability_function`, for every signature.
            flip: as of `probability_function`.
        """
        super().__init__()
        self._ignore_label = ignore_label
        self._pad_value = model.model_config.pad_value
        self._images = tf.TensorSpec([None, *size, model.input_channels], tf.float32, name="images")
        self._pixels = tf.TensorSpec(self._images.shape, tf.uint8, name="images")
        self._resize = model.resize
        self._averages = not is_plain(eval_scales, flip)
        # The signatures call this one function. Its weights are variables, of which there is one
        # copy however often it is loaded, optimized and called: docs/serving.md has the numbers.
        any_size = tf.TensorSpec([None, None, None, model.input_channels], name="images")
        images = any_size if self._averages else self._images
        network = InferenceNetwork(model, constant_below=_SMALLEST_VARIABLE)
        self.core = tf.function(network).get_concrete_function(images)
        self.weights = self.core.graph.variables

        def core(images: tf.Tensor) -> tf.Tensor:
            return self.core(images)

        core.resize = model.resize  # type: ignore[attr-defined]
        self._averaged = averaged(core, eval_scales, flip)

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
        images = tf.cast(images, tf.float32)
        if self._averages:
            return {"classes": argmax(self._averaged(images))}
        logits = self.core(images)
        return {"classes": resized_argmax(logits, *_size(images), method=self._resize)}

    def _probabilities(self, images: tf.Tensor) -> Outputs:
        """uint8 [B,H,W,channels] -> probabilities float32 [B,H,W,C] and classes."""
        logits = self._network(tf.cast(images, tf.float32))
        return {"probabilities": tf.nn.softmax(logits), "classes": argmax(logits)}

    def _logits(self, images: tf.Tensor) -> Outputs:
        """float32 [B,H,W,channels], 0..255 -> logits float32 [B,H,W,C]."""
        return {"logits": self._network(images)}

    def _network(self, images: tf.Tensor) -> tf.Tensor:
        """float32 [B,H,W,channels] -> logits float32 [B,H,W,C]."""
        if self._averages:
            return self._averaged(images)
        return resize_bilinear(self.core(images), *_size(images), method=self._resize)

    def _image_bytes(self, image_bytes: tf.Tensor) -> Outputs:
        """JPEG or PNG files, string [B], B > 0 -> classes, probabilities and sizes int32 [B,2].

        Each goes through the network alone, and unpadded unless that has a fixed size, so that no
        result depends on its batch mates; the results are padded to the largest at the bottom and
        the right.
        """
        decode = _decode_rgb if self._pixels.shape[-1] == _RGB else _decode_rgba
        count = tf.size(image_bytes)
        images = tf.TensorArray(
            tf.uint8,
            count,
            clear_after_read=False,
            infer_shape=False,
            element_shape=[None, None, self._pixels.shape[-1]],
        )
        _, images = tf.while_loop(
            lambda index, _: index < count,
            lambda index, images: (index + 1, images.write(index, decode(image_bytes[index]))),
            (0, images),
        )
        each = partial(tf.map_fn, elems=tf.range(count), parallel_iterations=1)
        size = tf.TensorSpec([2], tf.int32)
        sizes = each(lambda index: tf.shape(images.read(index))[:2], fn_output_signature=size)
        largest = tf.reduce_max(sizes, 0)

        def segment(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits = self._logits_of_any(images.read(index))
            missing = tf.pad((largest - sizes[index])[:, tf.newaxis], [[0, 0], [1, 0]])
            classes = tf.pad(argmax(logits), missing, constant_values=self._ignore_label)
            return classes, tf.pad(tf.nn.softmax(logits), tf.pad(missing, [[0, 1], [0, 0]]))

        num_classes = self.core.outputs[0].shape[-1]
        classes, probabilities = each(
            segment,
            fn_output_signature=(
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None, None, num_classes], tf.float32),
            ),
        )
        return {"classes": classes, "probabilities": probabilities, "sizes": sizes}

    def _logits_of_any(self, image: tf.Tensor) -> tf.Tensor:
        """uint8 [H,W,channels], no larger than a fixed size -> logits float32 [H,W,C]."""
        image = tf.cast(image, tf.float32)
        fixed = self._pixels.shape[1:3]
        if None in fixed:
            return self._network(image[tf.newaxis])[0]
        height, width = tf.unstack(tf.shape(image)[:2])
        missing = tf.stack([fixed[0] - height, fixed[1] - width])
        fits = tf.debugging.assert_non_negative(
            missing, f"an image is larger than {fixed[0]}x{fixed[1]} (height x width)"
        )
        with tf.control_dependencies([fits]):
            paddings = tf.pad(missing[:, tf.newaxis], [[0, 1], [1, 0]])
        # Padding by a color is padding its difference from that color by zeros.
        padded = tf.pad(image - self._pad_value, paddings) + self._pad_value
        padded.set_shape(self._pixels.shape[1:])
        return self._network(padded[tf.newaxis])[0, :height, :width]


def _size(images: tf.Tensor) -> list[tf.Tensor]:
    """Height and width."""
    return tf.unstack(tf.shape(images)[1:3])


def averaged(network: Network, eval_scales: Sequence[float], flip: bool) -> Network:
    """Images -> the logarithm of the mean of the probabilities of their copies.

    As logits these have the mean probabilities, and so the right classes too. The arguments are
    those of `probability_function`.
    """
    probabilities = mean_probability_function(network, eval_scales, flip)
    return lambda images: tf.math.log(tf.maximum(probabilities(images), _LEAST))


def write(source: Source, folder: Path) -> Verification:
    """Writes the SavedModel into an empty folder and compares it with the model.

    Raises:
        DeepLabError: if they differ.
    """
    model, scales, flip = source.model, source.eval_scales, source.flip
    served = ServedModel(
        model,
        ignore_label=source.description.ignore_label,
        size=source.size or ANY_SIZE,
        eval_scales=scales,
        flip=flip,
    )
    save(served, folder, metadata(source))
    expected = None
    if not is_plain(scales, flip):
        by_keras = keras.Model(model.input, model.endpoints["logits_low_resolution"])
        by_keras.resize = model.resize
        expected = averaged(by_keras, scales, flip)
    return verify_runtime(source, open_runtime("saved_model", folder), expected=expected)


def save(served: ServedModel, folder: Path, stated: dict[str, Any]) -> None:
    """Writes the SavedModel into a folder, with the metadata as an asset."""
    source = folder / METADATA
    source.write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
    served.metadata = tf.saved_model.Asset(str(source))
    tf.saved_model.save(served, str(folder), signatures=served.signatures())
    source.unlink()  # It lies in assets/ now.


def _decode_rgb(data: tf.Tensor) -> tf.Tensor:
    return upright(decode_image(data), orientation(data))


def _decode_rgba(data: tf.Tensor) -> tf.Tensor:
    # As in training, where the fourth channel is data and the file is taken as it is.
    return tf.io.decode_png(data, channels=_PNG_CHANNELS)
