"""Reads the stored outputs of the original code, for comparison with ours."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import deeplab


class Golden(NamedTuple):
    """One configuration of the original: its facts and the arrays that it gave."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    folder: Path

    def flag(self, name: str) -> list[str]:
        """Values of a flag of the original, in order."""
        prefix = f"--{name}="
        return [f.removeprefix(prefix) for f in self.facts["flags"] if f.startswith(prefix)]


def load_golden(reference: Path, name: str) -> Golden:
    """The stored configuration `name`."""
    folder = reference / "golden"
    facts = json.loads((folder / f"{name}.json").read_text())
    with np.load(folder / f"{name}.npz") as arrays:
        return Golden(facts, dict(arrays), folder)


def weight_rule(folder: Path) -> ModuleType:
    """The module that computes the value of every variable from its name and shape."""
    spec = importlib.util.spec_from_file_location("golden_weights", folder / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def input_images(golden: Golden, reference: Path) -> np.ndarray:
    """The input of a configuration, float32 [1,H,W,3], 0..255."""
    facts = golden.facts["input"]
    if "seed" in facts:
        image = weight_rule(golden.folder).image(facts["height"], facts["width"], facts["seed"])
        return image.astype(np.float32)[None]
    photo = facts["kind"].split("(")[0].rsplit(".", 1)[-1]
    image = np.asarray(Image.open(reference / "data" / "photos" / f"skimage_{photo}.png"))
    padded = np.full(facts["shape"], 127.5, np.float32)
    padded[0, : image.shape[0], : image.shape[1]] = image
    return padded


def model_settings(golden: Golden) -> dict[str, Any]:
    """The settings of our model for a configuration."""
    facts = golden.facts
    return {
        "backbone": facts["model_options"]["model_variant"],
        "num_classes": facts["num_classes"],
        "output_stride": facts["output_stride"],
        "atrous_rates": tuple(facts["atrous_rates"] or ()),
        "decoder": bool(facts["model_options"]["decoder_output_stride"]),
        "depth_multiplier": facts["model_options"]["depth_multiplier"],
        "image_pooling": facts["model_options"]["add_image_level_feature"],
    }


def golden_model(golden: Golden) -> deeplab.models.DeepLabModel:
    """Our model of a configuration, with fresh weights."""
    return deeplab.deeplab_v3_plus(**model_settings(golden))
