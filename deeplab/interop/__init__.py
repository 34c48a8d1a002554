"""Readers of the weights that people already have."""

from __future__ import annotations

from collections.abc import Callable

from deeplab.errors import unknown_name
from deeplab.interop import tf1
from deeplab.interop.report import ImportReport
from deeplab.models import DeepLabModel

SOURCES: dict[str, Callable[[DeepLabModel, str], ImportReport]] = {"tf1": tf1.load_checkpoint}


def import_weights(model: DeepLabModel, *, source: str, path: str) -> ImportReport:
    """Loads foreign weights into a model.

    Args:
        model: a model of the same architecture as the weights.
        source: "tf1", a checkpoint of the original code.
        path: where the weights are; for tf1 the prefix of the checkpoint.

    Raises:
        DeepLabError: for an unknown source, or weights that do not fit.
    """
    if source not in SOURCES:
        raise unknown_name("source", source, SOURCES)
    return SOURCES[source](model, path)


__all__ = ["SOURCES", "ImportReport", "import_weights"]
