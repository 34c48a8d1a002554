"""Readers of the weights that people already have."""

from __future__ import annotations

from collections.abc import Callable

from deeplab.errors import unknown_name
from deeplab.interop import litert, tf1
from deeplab.interop.import_model import import_model
from deeplab.interop.report import ImportReport
from deeplab.models import DeepLabModel

SOURCES: dict[str, Callable[[DeepLabModel, str], ImportReport]] = {
    "litert": litert.load_litert,
    "tf1": tf1.load_checkpoint,
}


def import_weights(model: DeepLabModel, *, source: str, path: str) -> ImportReport:
    """Loads foreign weights into a model.

    Args:
        model: a model of the same architecture as the weights.
        source: "tf1", a checkpoint or frozen graph of the original code; "litert", a .tflite file.
        path: where the weights are; of a checkpoint its prefix.

    Raises:
        DeepLabError: for an unknown source, or weights that do not fit.
    """
    if source not in SOURCES:
        raise unknown_name("source", source, SOURCES)
    return SOURCES[source](model, path)


__all__ = ["SOURCES", "ImportReport", "import_model", "import_weights"]
