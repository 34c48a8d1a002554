"""What `predict` needs of a model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from deeplab.data.colors import Color
from deeplab.evaluation.inference import label_function
from deeplab.model_dir import has_description, load_model, read_description
from deeplab.runtimes.runtime import ClassIds, Images


def stated_channels(model_dir: str | Path) -> int:
    """Channels of the images, from model.json alone; 3 if there is none."""
    if not has_description(model_dir):
        return 3
    return read_description(model_dir).input_channels


def open_model(
    model_dir: str | Path,
    checkpoint: str,
    output_stride: int | None,
    *,
    eval_scales: Sequence[float],
    flip: bool,
) -> tuple[Callable[[Images], ClassIds], Sequence[Color]]:
    """Images -> class ids, and the colors of the classes.

    Raises:
        DeepLabError: if there is no such model.
    """
    colors = read_description(model_dir).colors
    model = load_model(model_dir, output_stride=output_stride, checkpoint=checkpoint)
    labels = label_function(model, eval_scales=eval_scales, flip=flip)
    return lambda images: labels(tf.cast(images, tf.float32)).numpy(), colors
