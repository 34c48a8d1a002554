"""Exports a network of random weights, and stores what it gives.

The half of tools/check_exports.sh that needs TensorFlow. Below --output_dir: `CASE/export`, as
`deeplab export` writes it, and `CASE/outputs.npz`, images and outputs for each size.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import deeplab
from deeplab.interop.hub import timm
from deeplab.model_dir import ModelDescription, save_checkpoint, write_description
from deeplab.models import ModelConfig, variables_by_path

OUTPUT_STRIDES = (32, 16, 8)
# Odd, even, and of two sides.
SIZES = ((129, 129), (128, 160), (64, 97))
# So that batch norm matters, and features neither vanish nor explode.
RANGES = {
    "gamma": (0.5, 1.5),
    "beta": (-0.5, 0.5),
    "moving_mean": (-0.5, 0.5),
    "moving_variance": (0.3, 2.0),
}
HEAD: dict[str, Any] = {"atrous_rates": (), "decoder": False}
# Backbone -> case -> settings of the network.
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "mobilenet_v2": {
        "mobilenet_v2": {"resize": "half_pixel"},
        "mobilenet_v2_aligned": {"resize": "align_corners"},
        **{
            f"mobilenet_v2_{multiplier}": {
                "resize": "half_pixel",
                "depth_multiplier": multiplier,
                "backbone_options": {"divisible_by": 8},
            }
            for multiplier in (0.35, 0.5, 1.4)
        },
    }
}


def write_model(folder: Path, settings: dict[str, Any]) -> None:
    """A model folder with random weights, batch norm included."""
    config = ModelConfig(num_classes=5, **HEAD, **settings)
    keras.utils.set_random_seed(1)
    model = deeplab.build_model(config)
    generator = np.random.default_rng(1)
    for path, variable in variables_by_path(model).items():
        if (leaf := path.rpartition("/")[2]) in RANGES:
            variable.assign(generator.uniform(*RANGES[leaf], variable.shape))
        # As of nearly constant features, which show the epsilons of the libraries.
        if path == "aspp/image_pooling/batch_norm/moving_variance":
            variable.assign(generator.uniform(0, 1e-5, variable.shape))
        if path == "aspp/image_pooling/batch_norm/gamma":
            variable.assign(generator.uniform(0.5e-3, 1.5e-3, variable.shape))
    model.get_layer("logits").kernel.assign(
        generator.normal(size=model.get_layer("logits").kernel.shape)
    )
    folder.mkdir(parents=True)
    description = ModelDescription(
        config=config,
        class_names=tuple(f"name {index}" for index in range(5)),
        colors=tuple((index, 0, 0) for index in range(5)),
        ignore_label=255,
        pad_value=config.pad_value,
        weights_source="random values",
    )
    write_description(folder, description)
    save_checkpoint(folder / "checkpoints", 0, {"model": variables_by_path(model)}, keep=1)


def write_outputs(model: keras.Model, path: Path, *, whole: bool) -> None:
    """Images of each size and what the network gives for them."""
    network = deeplab.intermediates(model)
    arrays = {}
    for height, width in SIZES:
        generator = np.random.default_rng(height)
        # Of squares: of noise alone a network sees the same everywhere.
        squares = generator.integers(0, 256, (1, height // 32 + 1, width // 32 + 1, 3), np.uint8)
        images = squares.repeat(32, axis=1).repeat(32, axis=2)[:, :height, :width]
        outputs = network(tf.constant(images, tf.float32), training=False)
        arrays[f"{height}x{width}/images"] = images
        arrays[f"{height}x{width}/features"] = outputs["high_level"].numpy()
        if whole:
            arrays[f"{height}x{width}/logits"] = outputs["logits_low_resolution"].numpy()
            arrays[f"{height}x{width}/classes"] = outputs["logits"].numpy().argmax(-1)
    np.savez(path, **arrays)


def main() -> None:
    """Every case of a backbone at every output stride."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    arguments = parser.parse_args()
    backbone = arguments.backbone
    is_timm = backbone in {row.backbone for row in timm.ARCHITECTURES.values()}
    for case, settings in CASES.get(backbone, {backbone: {}}).items():
        model_dir = arguments.output_dir / f"{case}.model"
        write_model(model_dir, {"backbone": backbone, **settings})
        for stride in OUTPUT_STRIDES:
            folder = arguments.output_dir / f"{case}_os{stride}"
            deeplab.export(
                model_dir=model_dir,
                export_dir=folder / "export",
                format="timm" if is_timm else "hugging_face",
                output_stride=stride,
            )
            model = deeplab.load_model(model_dir, output_stride=stride)
            write_outputs(model, folder / "outputs.npz", whole=not is_timm)


if __name__ == "__main__":
    main()
