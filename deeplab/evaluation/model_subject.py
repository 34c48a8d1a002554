"""The model of a folder as what is evaluated and predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab.evaluation.inference import label_function, probability_function
from deeplab.evaluation.original_protocol import original_prediction_function
from deeplab.evaluation.subject import Subject
from deeplab.model_dir import find_checkpoint, load_model, read_description
from deeplab.runtimes.predictor import Predictor


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

    def load() -> Predictor:
        model = load_model(model_dir, output_stride=output_stride, checkpoint=checkpoint)
        if original_protocol:
            predict = original_prediction_function(model, eval_scales=eval_scales, flip=flip)
            return Predictor(
                _on_arrays(lambda images: predict(images).labels),
                _on_arrays(lambda images: predict(images).probabilities),
            )
        return Predictor(
            _on_arrays(label_function(model, eval_scales=eval_scales, flip=flip)),
            _on_arrays(probability_function(model, eval_scales=eval_scales, flip=flip)),
        )

    trained_stride = description.config.output_stride
    return Subject(
        name=Path(model_dir).resolve().name,
        description=description,
        is_export=False,
        step=stored.step,
        output_stride=output_stride or trained_stride,
        trained_stride=trained_stride,
        load=load,
    )


def _on_arrays(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[Any], np.ndarray]:
    return lambda images: function(tf.cast(images, tf.float32)).numpy()
