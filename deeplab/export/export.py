"""`export`: from a model folder to a file format for serving."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from deeplab import files
from deeplab.errors import DeepLabError, unknown_name
from deeplab.export.saved_model import ServedModel, save
from deeplab.export.verify import Verification, sample_images, verify
from deeplab.model_dir import (
    Checkpoint,
    ModelDescription,
    find_checkpoint,
    load_model,
    read_description,
)
from deeplab.out_of_memory import explained, inference_advice
from deeplab.paths import for_reading

FORMATS = ("saved_model",)


def export(
    *,
    model_dir: str | Path,
    export_dir: str | Path,
    format: str = "saved_model",
    checkpoint: str = "latest",
    output_stride: int | None = None,
    overwrite: bool = False,
) -> Verification:
    """Exports a model and compares the result with it on images before it gets its name.

    Args:
        model_dir: folder of the model.
        export_dir: the SavedModel folder to make.
        format: "saved_model".
        checkpoint: "latest", "best", or the prefix of a checkpoint.
        output_stride: 8, 16 or 32; None: as trained.
        overwrite: whether an existing export_dir is replaced.

    Returns:
        How the result was compared with the model.

    Raises:
        DeepLabError: if there is no such model, the folder exists or cannot be written, or the
            result differs from the model.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    target = Path(export_dir).absolute()
    if target.exists() and not overwrite:
        raise DeepLabError(f"{target} exists; --overwrite replaces it")
    is_empty = target.is_dir() and not any(target.iterdir())
    if target.exists() and not is_empty and not (target / "saved_model.pb").is_file():
        raise DeepLabError(f"{target} is not an exported model; it is not replaced")
    description = read_description(model_dir)
    found = find_checkpoint(model_dir, checkpoint)
    model = load_model(model_dir, output_stride=output_stride, checkpoint=checkpoint)
    source, images = sample_images(description)
    with files.new_directory(target) as folder:
        metadata = _metadata(description, found, model.model_config.output_stride, Path(model_dir))
        save(ServedModel(model), folder, metadata)
        # What is compared is what lies on the disk, loaded as a server would.
        loaded = tf.saved_model.load(for_reading(folder))
        logits = loaded.signatures["logits"]
        with explained("comparing the export with the model", inference_advice):
            return verify(model, lambda image: logits(images=image)["logits"], images, source)


def _metadata(
    description: ModelDescription, checkpoint: Checkpoint, output_stride: int, model_dir: Path
) -> dict[str, Any]:
    return {
        "classes": list(description.class_names),
        "colors": [list(color) for color in description.colors],
        "ignore_label": description.ignore_label,
        "preprocessing": {
            "channels": description.config.resolved_input_channels,
            "color_order": "RGB",  # of the first three
            "range": [0, 255],
            "size": "any",
            "pad_value": list(description.pad_value),
            "inside_the_model": description.config.resolved_backbone.normalization,
        },
        "resize": description.config.resize,
        "source": {
            "backbone": description.config.backbone,
            "output_stride": output_stride,
            "checkpoint": Path(checkpoint.prefix).name,
            "step": checkpoint.step,
            "weights": description.weights_source,
        },
        "metrics": _metrics(model_dir, checkpoint.step, output_stride),
    }


def _metrics(model_dir: Path, step: int, output_stride: int) -> dict[str, float] | None:
    """Numbers of the newest plain evaluation of these weights, if there was one."""
    for path in sorted(
        model_dir.glob("eval/*/metrics.json"), key=lambda p: p.stat().st_mtime, reverse=True
    ):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        same = metrics["checkpoint_step"] == step and metrics["output_stride"] == output_stride
        plain = list(metrics["eval_scales"]) == [1.0] and not metrics["flip"]
        if same and plain and metrics["dataset"] is not None:
            names = ("dataset", "split", "miou", "pixel_accuracy", "num_images")
            return {name: metrics[name] for name in names}
    return None
