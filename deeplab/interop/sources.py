"""The table of sources: a row for each kind of weights that people already have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

from deeplab.errors import unknown_name
from deeplab.interop import litert, tf1
from deeplab.interop.hub import hugging_face, timm
from deeplab.interop.keras import applications, keras_io
from deeplab.interop.loading import Found, Request, check_parts, load
from deeplab.interop.report import ImportReport
from deeplab.models import DeepLabModel

READERS: dict[str, Callable[[Request], Found]] = {
    "hugging_face": hugging_face.read,
    "keras_applications": applications.read,
    "keras_io": keras_io.read,
    "litert": litert.read,
    "tf1": tf1.read,
    "timm": timm.read,
}


def find(source: str, request: Request) -> Found:
    """What a file of a source holds.

    Raises:
        DeepLabError: for an unknown source or part, or a file that its reader refuses.
    """
    if source not in READERS:
        raise unknown_name("source", source, READERS)
    check_parts(request.skip)
    return READERS[source](request)


def import_weights(
    model: DeepLabModel,
    *,
    source: str,
    path: str,
    skip: Collection[str] = (),
    backbone_only: bool = False,
) -> ImportReport:
    """Loads foreign weights into a model.

    Nothing is assigned unless every variable of the model is there with its shape.

    Args:
        model: a model of the same architecture as the weights, at any output stride.
        source: "tf1", a checkpoint or frozen graph of the original code; "litert", a .tflite file.
        path: where the weights are; of a checkpoint its prefix.
        skip: parts that keep the values that they have, of `loading.PARTS`.
        backbone_only: whether all but the backbone keeps its values, and whatever else the file
            holds is ignored.

    Raises:
        DeepLabError: for an unknown source, or weights that do not fit.
    """
    found = find(source, Request(path, model.model_config, tuple(skip), backbone_only))
    report = load(model, found, source=source)
    return dataclasses.replace(report, notes=(*found.lines, *report.notes))
