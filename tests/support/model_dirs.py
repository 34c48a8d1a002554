"""A small model folder, as training or an import leaves it, made for tests."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np

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
    statistics: bool = False,
    **settings: Any,
) -> keras.Model:
    """Writes model.json and a checkpoint of random weights; returns the model.

    `statistics`: batch norm has others than the initial ones, and all classes occur. The settings
    are further ones of `ModelConfig`, such as `TINY`.
    """
    keras.utils.set_random_seed(3)
    defaults = {"backbone": "mobilenet_v2", "depth_multiplier": 0.25}
    config = ModelConfig(**{**defaults, "num_classes": len(class_names), **settings})
    model = build_model(config)
    # Fresh weights give every pixel nearly the same class.
    logits = variables_by_path(model)["logits/kernel"]
    logits.assign(keras.random.normal(logits.shape, seed=5))
    if statistics:
        realistic_statistics(model)
        images = np.random.default_rng(1).uniform(0, 255, (1, 65, 65, 3)).astype(np.float32)
        bias = variables_by_path(model)["logits/bias"]
        bias.assign(-np.mean(model(images), axis=(0, 1, 2)))
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


def realistic_statistics(model: keras.Model) -> None:
    """Gives batch norm other values than the initial ones, which would hide mistakes in folding."""
    generator = np.random.default_rng(0)
    ranges = {
        "gamma": (0.5, 1.5),
        "beta": (-0.5, 0.5),
        "moving_mean": (-0.5, 0.5),
        "moving_variance": (0.3, 2.0),
    }
    for path, variable in variables_by_path(model).items():
        if (leaf := path.rsplit("/", 1)[-1]) in ranges:
            variable.assign(generator.uniform(*ranges[leaf], variable.shape))
