"""From images to probabilities and class ids: several scales and mirrored copies.

A network is anything that maps images float32 [B, H, W, 3] (RGB, 0..255, any H and W) to logits
float32 [B, h, w, C] of any resolution: they are resized once, from that to the image's. One that
takes another number of channels says so by an attribute `input_channels`, one whose logits are
resized in another way than the original's by an attribute `resize`, a key of `models.RESIZES`. A
model of this package is run as its `InferenceNetwork`. Exported files are run by `runtimes/`.

Averaging over scales and mirrored copies follows the original (predict_labels_multi_scale in
model.py): every copy's logits are resized to the image, softmax, mean over the copies. Images and
logits are resized as inside the network. One difference: for scales below 1 the original first
resizes the logits to the grid that the full-size image would have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import tensorflow as tf

from deeplab.evaluation.argmax import argmax, resized_argmax
from deeplab.models import ALIGN_CORNERS, DeepLabModel, InferenceNetwork, resize_bilinear
from deeplab.runtimes.inference import check_scales

Network = Callable[[tf.Tensor], tf.Tensor]


def label_function(
    network: Network, *, eval_scales: Sequence[float] = (1.0,), flip: bool = False
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compiles a network into images -> class ids.

    It is traced once and runs at any size: keep it for as long as the network is used.

    Args:
        network: images -> logits, see the module's text. Of a model of this package, the weights
            are those that it has at the first call; to follow a model that learns, give its
            `InferenceNetwork`, and refresh that.
        eval_scales: sizes at which each image is seen, as factors of its own; above 0.
        flip: whether each of them is seen mirrored as well.

    Returns:
        A function of float32 [B, H, W, 3], 0..255 -> int32 [B, H, W].

    Raises:
        DeepLabError: if the scales are not positive numbers.
    """
    check_scales(eval_scales)
    network = runnable(network)
    if not is_plain(eval_scales, flip):
        mean_probabilities = mean_probability_function(network, eval_scales, flip)

        def labels(images: tf.Tensor) -> tf.Tensor:
            return argmax(mean_probabilities(images))

    else:
        # One copy needs no softmax, which changes no argmax.
        method = _resize(network)

        def labels(images: tf.Tensor) -> tf.Tensor:
            height, width = tf.unstack(tf.shape(images)[1:3])
            return resized_argmax(network(images), height, width, method=method)

    return tf.function(labels, input_signature=[_images(network)])


def probability_function(
    network: Network, *, eval_scales: Sequence[float] = (1.0,), flip: bool = False
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compiles a network into images -> class probabilities, float32 [B, H, W, C].

    Arguments and errors are those of `label_function`.
    """
    check_scales(eval_scales)
    network = runnable(network)
    return tf.function(
        mean_probability_function(network, eval_scales, flip),
        input_signature=[_images(network)],
    )


def runnable(network: Network) -> Network:
    """What is run for a network: of a model of this package its `InferenceNetwork`."""
    return InferenceNetwork(network) if isinstance(network, DeepLabModel) else network


def _resize(network: Network) -> str:
    """How the logits of a network are resized."""
    return getattr(network, "resize", ALIGN_CORNERS)


def _images(network: Network) -> tf.TensorSpec:
    return tf.TensorSpec([None, None, None, getattr(network, "input_channels", 3)], tf.float32)


def is_plain(eval_scales: Sequence[float], flip: bool) -> bool:
    """Whether an image is seen once, as it is."""
    return tuple(eval_scales) == (1.0,) and not flip


def mean_probability_function(
    network: Network,
    eval_scales: Sequence[float],
    flip: bool,
    *,
    logits_stride: float | None = None,
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Images -> the mean of the probabilities of their copies, not compiled.

    Args:
        network: images -> logits, see the module's text.
        eval_scales: as in `label_function`.
        flip: as in `label_function`.
        logits_stride: input pixels per pixel of the logits, to resize them twice for scales below
            1, as the original does; None: once.
    """
    copies = list(itertools.product(eval_scales, (False, True) if flip else (False,)))
    resized = partial(resize_bilinear, method=_resize(network))

    def probabilities(images: tf.Tensor) -> tf.Tensor:
        height, width = tf.unstack(tf.shape(images)[1:3])
        total = tf.zeros([])
        for scale, mirrored in copies:
            # The copies wait for each other: all at once would hold every one's activations.
            with tf.control_dependencies([total]):
                copy = tf.identity(images)
            if scale != 1:
                size = scale_dimension(height, scale), scale_dimension(width, scale)
                copy = resized(copy, *size)
            if mirrored:
                copy = tf.reverse(copy, [2])
            logits = network(copy)
            if logits_stride is not None and scale < 1:
                grid = (scale_dimension(side, 1 / logits_stride) for side in (height, width))
                logits = resized(logits, *grid)
            if mirrored:
                logits = tf.reverse(logits, [2])
            total += tf.nn.softmax(resized(logits, height, width))
        return total / len(copies)

    return probabilities


def scale_dimension(size: tf.Tensor, scale: float) -> tf.Tensor:
    """int((size - 1) * scale + 1) in double precision, the original's rule; int32 scalar."""
    return tf.cast((tf.cast(size, tf.float64) - 1.0) * scale + 1.0, tf.int32)
