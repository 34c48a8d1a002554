"""Exports of a network with random weights, for what does not depend on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

import deeplab
from deeplab.model_dir import ModelDescription, save_checkpoint, write_description
from deeplab.models import variables_by_path


def write_model(folder: Path, backbone: str, num_classes: int = 21) -> None:
    """A model folder, as training leaves it."""
    keras.utils.set_random_seed(0)
    config = deeplab.ModelConfig(backbone, num_classes=num_classes)
    model = deeplab.build_model(config)
    # Fresh weights give every pixel nearly the same class.
    kernel = variables_by_path(model)["logits/kernel"]
    kernel.assign(keras.random.normal(kernel.shape, seed=1))
    description = ModelDescription(
        config=config,
        class_names=tuple(f"class {index}" for index in range(num_classes)),
        colors=tuple((index, index, index) for index in range(num_classes)),
        ignore_label=255,
        pad_value=config.pad_value,
        weights_source="random values",
    )
    folder.mkdir(parents=True)
    write_description(folder, description)
    save_checkpoint(folder / "checkpoints", 0, {"model": variables_by_path(model)}, keep=1)


def write_exports(
    folder: Path,
    backbone: str,
    formats: Sequence[str],
    fixed_size: tuple[int, int] | None = None,
    calibration_images: Path | None = None,
) -> dict[str, Path]:
    """Exports below `folder`: format -> the file, or the folder of a SavedModel."""
    if not (folder / "model").exists():
        write_model(folder / "model", backbone)
    found = {}
    for name in formats:
        target = folder / (f"{name}_fixed" if fixed_size else name)
        deeplab.export(
            model_dir=folder / "model",
            export_dir=target,
            format=name,
            fixed_size=fixed_size,
            calibration_images=calibration_images if name == "litert_int8" else None,
        )
        files = [*target.glob("model.onnx"), *target.glob("model.tflite")]
        found[name] = files[0] if files else target
    return found
