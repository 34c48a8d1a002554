"""What is measured: the model of a folder, or an exported file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.evaluation.inference import label_function
from deeplab.evaluation.original_protocol import original_label_function
from deeplab.model_dir import ModelDescription, find_checkpoint, load_model, read_description
from deeplab.runtimes import inference
from deeplab.runtimes.metadata import Metadata
from deeplab.runtimes.runtime import open_runtime, read_metadata

Description = ModelDescription | Metadata
PredictLabels = Callable[[tf.Tensor], Any]


class Subject(NamedTuple):
    """A network that is not loaded yet.

    Attributes:
        name: for the title of the report.
        description: what is known of its classes and images.
        step: of its weights; None if it is not known.
        output_stride: of the network; None if it is not known.
        trained_stride: the one it was trained with; None if it is not known.
        load: makes the function from images float32 [B, H, W, C], 0..255, to class ids [B, H, W].
    """

    name: str
    description: Description
    step: int | None
    output_stride: int | None
    trained_stride: int | None
    load: Callable[[], PredictLabels]


def of_model_dir(
    model_dir: str | Path,
    checkpoint: str,
    output_stride: int | None,
    *,
    eval_scales: Sequence[float],
    flip: bool,
    original_protocol: bool,
) -> Subject:
    """The model of a folder; arguments are those of `evaluate`.

    Raises:
        DeepLabError: if there is no such model or checkpoint.
    """
    description = read_description(model_dir)
    stored = find_checkpoint(model_dir, checkpoint)

    def load() -> PredictLabels:
        model = load_model(model_dir, output_stride=output_stride, checkpoint=checkpoint)
        make_function = original_label_function if original_protocol else label_function
        return make_function(model, eval_scales=eval_scales, flip=flip)

    trained_stride = description.config.output_stride
    return Subject(
        Path(model_dir).resolve().name,
        description,
        stored.step,
        output_stride or trained_stride,
        trained_stride,
        load,
    )


def of_export(kind: str, path: Path, *, eval_scales: Sequence[float], flip: bool) -> Subject:
    """An exported file, one of `RUNTIMES`; it sees images in whole levels, as where it is used.

    Raises:
        DeepLabError: if it is no export.
    """
    metadata = read_metadata(kind, path)

    def load() -> PredictLabels:
        runtime = open_runtime(kind, path)
        labels = inference.label_function(runtime, eval_scales=eval_scales, flip=flip)
        return lambda images: labels(np.rint(np.clip(images, 0, 255)).astype(np.uint8))

    stride = metadata.output_stride
    return Subject(path.resolve().name, metadata, metadata.step, stride, stride, load)
