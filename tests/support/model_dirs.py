"""A small model folder, as training or an import leaves it, made for tests."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import keras

from deeplab.model_dir import ModelDescription, save_checkpoint, write_description
from deeplab.models import ModelConfig, build_model, variables_by_path

# A head that is traced and computed in a part of the time.
TINY: dict[str, Any] = {"atrous_rates": (2,), "aspp_channels": 16, "decoder_channels": 16}
COLORS = ((0, 0, 0), (128, 0, 0), (0, 128, 0))


def make_model_dir(
    folder: Path,
    *,
    class_names: tuple[str, ...] = ("background", "cat", "dog"),
    training: dict[str, Any] | None = None,
    step: int = 7,
    **settings: Any,
) -> keras.Model:
    """Writes model.json and a checkpoint of random weights; returns the model.

    The settings are further ones of `ModelConfig`, such as `TINY`.
    """
    keras.utils.set_random_seed(3)
    defaults = {"backbone": "mobilenet_v2", "depth_multiplier": 0.25}
    config = ModelConfig(**{**defaults, "num_classes": len(class_names), **settings})
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
            colors=tuple(itertools.islice(itertools.cycle(COLORS), len(class_names))),
            ignore_label=255,
            pad_value=(127.5, 127.5, 127.5),
            weights_source="random initial values",
            training=training,
        ),
    )
    save_checkpoint(folder / "checkpoints", step, {"model": variables_by_path(model)}, keep=1)
    return model
