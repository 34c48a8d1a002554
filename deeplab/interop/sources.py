"""The table of sources: a row for each kind of weights that people already have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import NamedTuple

from deeplab.errors import DeepLabError, unknown_name
from deeplab.interop import litert, model_zoo, tf1
from deeplab.interop.fetching import Fetched, hub, keras_files
from deeplab.interop.file_records import files_at, is_local, records
from deeplab.interop.hub import hugging_face, timm
from deeplab.interop.keras import applications, keras_io
from deeplab.interop.loading import Found, Request, check_parts, load
from deeplab.interop.report import ImportReport
from deeplab.models import DeepLabModel


class Source(NamedTuple):
    """A kind of weights.

    Attributes:
        read: what a file or folder holds.
        fetch: from a name to files on this machine; None: there are files alone.
        moves: whether the same name may mean other weights tomorrow.
        takes_flags: whether flags of the original say what its files cannot.
    """

    read: Callable[[Request], Found]
    fetch: Callable[[str], Fetched] | None = None
    moves: bool = False
    takes_flags: bool = False


SOURCES: dict[str, Source] = {
    "hugging_face": Source(hugging_face.read, hub.fetch_torch, moves=True),
    "keras_applications": Source(applications.read, keras_files.fetch),
    "keras_io": Source(keras_io.read, hub.fetch_keras, moves=True),
    "litert": Source(litert.read),
    "model_zoo": Source(model_zoo.read, model_zoo.fetch, takes_flags=True),
    "tf1": Source(tf1.read, takes_flags=True),
    "timm": Source(timm.read, hub.fetch_timm, moves=True),
}


def find_source(source: str) -> Source:
    """The row of a source; raises a `DeepLabError` if there is none."""
    if source not in SOURCES:
        raise unknown_name("source", source, SOURCES)
    return SOURCES[source]


def locate(source: str, name: str) -> Fetched:
    """The files that a name means: those on this machine, else what the source fetches.

    Raises:
        DeepLabError: for an unknown source, or if the name cannot be fetched.
    """
    fetch = find_source(source).fetch
    return Fetched(name) if fetch is None or is_local(name) else fetch(name)


def find(source: str, request: Request) -> Found:
    """What a file of a source holds.

    Raises:
        DeepLabError: for an unknown source or part, or a file that its reader refuses.
    """
    row = find_source(source)
    check_parts(request.skip)
    if request.original_flags and not row.takes_flags:
        names = " and ".join(name for name, other in SOURCES.items() if other.takes_flags)
        raise DeepLabError(
            f"--original_flags={request.original_flags} is for the sources {names}: files of "
            f"{source} say it all"
        )
    return row.read(request)


def load_fetched(
    model: DeepLabModel, found: Found, fetched: Fetched, *, source: str
) -> ImportReport:
    """`load`, with the files that were read in the report.

    Raises:
        DeepLabError: as `load` does.
    """
    report = load(model, found, source=source)
    return dataclasses.replace(
        report,
        files=records(found.files or files_at(found.stored.path)),
        revision=fetched.revision,
    )


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
        source: a key of `SOURCES`.
        path: where the weights are, of a checkpoint its prefix; or their name, by which the source
            fetches them.
        skip: parts that keep the values that they have, of `loading.PARTS`.
        backbone_only: whether all but the backbone keeps its values, and whatever else the file
            holds is ignored.

    Raises:
        DeepLabError: for an unknown source, or weights that do not fit.
    """
    fetched = locate(source, path)
    found = find(source, Request(fetched.path, model.model_config, tuple(skip), backbone_only))
    report = load_fetched(model, found, fetched, source=source)
    return dataclasses.replace(report, notes=(*fetched.lines, *found.lines, *report.notes))
