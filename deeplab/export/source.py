"""What is exported: the model of a folder, and what the folder says of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deeplab.model_dir import (
    CLASSIFIER_GROUP,
    Checkpoint,
    ModelDescription,
    find_checkpoint,
    load_model,
    read_description,
    read_variable,
)
from deeplab.models import DeepLabModel

# Height and width of images in pixels.
Size = tuple[int | None, int | None]
ANY_SIZE: Size = (None, None)

# Our path of a variable behind the backbone -> its value.
Classifier = Mapping[str, np.ndarray]


class Source(NamedTuple):
    """A model, ready to be written in any format.

    Attributes:
        model: the network with its weights, at the output stride to export.
        description: model.json.
        checkpoint: where the weights came from.
        model_dir: the folder of both.
        size: of the images, for formats that may have one size; `ANY_SIZE`; None: as the format
            has it by itself.
        eval_scales: scales at which each image is seen, for formats that have that built in.
        flip: whether each is seen mirrored as well.
        web_runtime: a folder with what runs ONNX files in a browser; None: npm has it.
        calibration_images: folder of the images that a quantized format measures its ranges on;
            None: the training split.
    """

    model: DeepLabModel
    description: ModelDescription
    checkpoint: Checkpoint
    model_dir: Path
    size: Size | None = None
    eval_scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    web_runtime: Path | None = None
    calibration_images: str | Path | None = None

    def classifier(self, paths: Iterable[str]) -> Classifier | None:
        """The classifier that the backbone was trained as, where the folder keeps it."""
        if self.description.classifier is None:
            return None
        return {path: read_variable(self.checkpoint, CLASSIFIER_GROUP, path) for path in paths}

    def metrics(self) -> dict[str, Any] | None:
        """Numbers of the newest plain evaluation of these weights, if there was one."""
        config = self.model.model_config
        if config.quantization != self.description.config.quantization:
            return None
        step, stride = self.checkpoint.step, config.output_stride
        paths = self.model_dir.glob("eval/*/metrics.json")
        for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
            metrics = json.loads(path.read_text(encoding="utf-8"))
            same = metrics["checkpoint_step"] == step and metrics["output_stride"] == stride
            plain = list(metrics["eval_scales"]) == [1.0] and not metrics["flip"]
            if same and plain and metrics["dataset"] is not None:
                names = ("dataset", "split", "miou", "pixel_accuracy", "num_images")
                return {name: metrics[name] for name in names}
        return None


def open_source(model_dir: str | Path, checkpoint: str, output_stride: int | None) -> Source:
    """Loads what is to be exported.

    Raises:
        DeepLabError: if there is no such model or checkpoint.
    """
    return Source(
        model=load_model(model_dir, output_stride=output_stride, checkpoint=checkpoint),
        description=read_description(model_dir),
        checkpoint=find_checkpoint(model_dir, checkpoint),
        model_dir=Path(model_dir),
    )
