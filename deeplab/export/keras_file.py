"""A `.keras` file, which Keras loads wherever this package is installed."""

from __future__ import annotations

import json
from pathlib import Path

from deeplab import files
from deeplab.export.metadata import metadata
from deeplab.export.source import Source
from deeplab.export.verify import EXACT, Verification, sample_images, verify
from deeplab.model_dir import load_model
from deeplab.out_of_memory import explained, inference_advice

CONTENTS = ("model.keras", "export.json")

# Weights pass from model to file to model as they are, through the same operations.
_TOLERANCE = EXACT._replace(difference=1e-6)


def write(source: Source, folder: Path) -> Verification:
    """Writes the file into an empty folder, loads it again and compares it with the model.

    Raises:
        DeepLabError: if they differ.
    """
    path, description = (folder / name for name in CONTENTS)
    source.model.save(path)
    files.write_text(description, json.dumps(metadata(source), indent=2) + "\n")
    loaded = load_model(path)
    origin, images = sample_images(source.description)
    with explained("comparing the export with the model", inference_advice):
        return verify(
            lambda image: source.model(image, training=False),
            lambda image: loaded(image, training=False),
            images,
            origin,
            tolerance=_TOLERANCE,
        )
