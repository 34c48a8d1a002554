"""Using an exported SavedModel as a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from deeplab.data.colors import Color
from deeplab.errors import DeepLabError
from deeplab.evaluation.inference import Network
from deeplab.models import ALIGN_CORNERS
from deeplab.paths import for_reading

_SIGNATURE = "logits"


def stated_channels(path: str | Path) -> int:
    """Channels of the images that an export takes, from its metadata alone; 3 without a word."""
    try:
        values = json.loads(_metadata(Path(path)).read_text(encoding="utf-8"))
        return int(values["preprocessing"]["channels"])
    except (OSError, ValueError, KeyError, TypeError):
        return 3


def open_saved_model(path: str | Path) -> tuple[Network, Sequence[Color]]:
    """Loads an export: its network, and the colors of its classes.

    Args:
        path: the SavedModel folder, made by `deeplab export`.

    Returns:
        A function of images float32 [B, H, W, 3], 0..255, to logits float32 [B, H, W, C]; and C
        colors, RGB 0..255.

    Raises:
        DeepLabError: if the folder is no such export.
    """
    path = Path(path)
    if not (path / "saved_model.pb").is_file():
        raise DeepLabError(f"{path} is no SavedModel: it has no saved_model.pb")
    metadata = _metadata(path)
    try:
        values = json.loads(metadata.read_text(encoding="utf-8"))
        colors = [(int(r), int(g), int(b)) for r, g, b in values["colors"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeepLabError(f"{path} is no export of deeplab: cannot read {metadata}") from error
    try:
        loaded = tf.saved_model.load(for_reading(path))
        signature = loaded.signatures[_SIGNATURE]
    except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
        raise DeepLabError(
            f"{path} cannot be loaded, or has no signature {_SIGNATURE!r}"
        ) from error

    def network(images: tf.Tensor) -> tf.Tensor:
        return signature(images=images)["logits"]

    # A signature alone does not keep alive what it was loaded with.
    network.owner = loaded  # type: ignore[attr-defined]
    images = signature.structured_input_signature[1]["images"]
    network.input_channels = images.shape[-1]  # type: ignore[attr-defined]
    # Exports from before there was a choice do not state it.
    network.resize = values.get("resize", ALIGN_CORNERS)  # type: ignore[attr-defined]
    return network, colors


def _metadata(path: Path) -> Path:
    return path / "assets" / "metadata.json"
