"""SavedModels, run by TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab.errors import DeepLabError
from deeplab.paths import for_reading
from deeplab.runtimes import metadata
from deeplab.runtimes.padding import padded
from deeplab.runtimes.runtime import Images, Runtime

# Signature -> the type of the images that it takes, and the name of its output.
_SIGNATURES = {"serving_default": (tf.uint8, "classes"), "logits": (tf.float32, "logits")}


def open_file(path: Path) -> Runtime:
    """Loads a SavedModel folder that `deeplab export` made.

    Raises:
        DeepLabError: if the folder is no such export.
    """
    stated = read_metadata(path)
    try:
        loaded = tf.saved_model.load(for_reading(path))
    except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
        raise DeepLabError(f"{path} cannot be loaded") from error
    missing = [name for name in _SIGNATURES if name not in loaded.signatures]
    if missing:
        raise DeepLabError(f"{path} is no export of deeplab: it has no signature {missing[0]!r}")
    classes, logits = (_signature(loaded, name) for name in _SIGNATURES)
    if stated.size is not None:
        classes, logits = (
            padded(function, stated.size, stated.pad_value, limit=f"{path.name} takes:")
            for function in (classes, logits)
        )
    return Runtime(path, stated, classes, logits, stated.size)


def read_metadata(path: Path) -> metadata.Metadata:
    """What a folder says of itself.

    Raises:
        DeepLabError: if it is no such export.
    """
    if not (path / "saved_model.pb").is_file():
        raise DeepLabError(f"{path} is no SavedModel: it has no saved_model.pb")
    asset = path / "assets" / "metadata.json"
    try:
        return metadata.parse(asset.read_text(encoding="utf-8"), path)
    except (OSError, ValueError) as error:
        raise DeepLabError(f"{path} is no export of deeplab: cannot read {asset}") from error


def _signature(loaded: Any, name: str) -> Callable[[Images], np.ndarray]:
    kind, output = _SIGNATURES[name]

    def run(images: Images) -> np.ndarray:
        # By its owner: a signature alone does not keep alive what it was loaded with.
        return loaded.signatures[name](images=tf.constant(images, kind))[output].numpy()

    return run
