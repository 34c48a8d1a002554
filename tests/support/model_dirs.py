"""A small model folder, as training or an import leaves it, made for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from deeplab.model_dir import ModelDescription, save_checkpoint, write_description
from deeplab.models import ModelConfig, build_model, variables_by_path

COLORS = ((0, 0, 0), (128, 0, 0), (0, 128, 0))


def make_model_dir(
    folder: Path,
    *,
    class_names: tuple[str, ...] = ("background", "cat", "dog"),
    training: dict[str, Any] | None = None,
    step: int = 7,
) -> keras.Model:
    """Writes model.json and a checkpoint of random weights; returns the model."""
    keras.utils.set_random_seed(3)
    config = ModelConfig("mobilenet_v2", num_classes=len(class_names), depth_multiplier=0.25)
    model = build_model(config)
    # Fresh weights give every pixel nearly the same class.
    logits = variables_by_path(model)["logits/kernel"]
    logits.assign(keras.random.normal(logits.shape, seed=5))
    folder.mkdir(parents=True)
    write_description(
        folder,
        ModelDescription(
            config=config,
            class_names=class_names,
            colors=COLORS,
            ignore_label=255,
            pad_value=(127.5, 127.5, 127.5),
            weights_source="random initial values",
            training=training,
        ),
    )
    save_checkpoint(folder / "checkpoints", step, {"model": variables_by_path(model)}, keep=1)
    return model
