"""Reads the models that the original's authors released."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.interop import tf1
from deeplab.interop.loading import Found, Request
from deeplab.interop.model_zoo.archive import Unpacked
from deeplab.interop.model_zoo.place import find_place


def read(request: Request) -> Found:
    """The network in an archive of the zoo, or what was unpacked of it.

    Args:
        request: its path is the archive, a folder or a checkpoint, see `find_place`. Its flags and
            its data set go before those of the model.

    Raises:
        DeepLabError: if it is none of the zoo, or cannot be read.
    """
    place = find_place(request.path)
    row = place.row
    num_classes = request.num_classes
    if request.config is not None:
        num_classes = request.config.num_classes  # of 151 outputs a model of 151 keeps all
    request = request._replace(
        original_flags=f"{row.flags} {request.original_flags}",
        dataset=request.dataset or row.dataset,
        num_classes=num_classes,
        backbone_only=request.backbone_only or row.backbone_only,
    )
    if place.archive is None:
        found = tf1.read(request._replace(path=str(place.weights)))
    else:
        found = _read_archive(place.archive, request)
    line = f"{row.name} of the original's model zoo, published: {row.published}"
    return found._replace(lines=(line, *found.lines), dataset=row.dataset)


def _read_archive(archive: str, request: Request) -> Found:
    unpacked = Unpacked(archive)
    with _naming(archive, unpacked):
        found = tf1.read(request._replace(path=unpacked.weights))

    @functools.wraps(found.stored.read)
    def read(name: str) -> np.ndarray:
        with _naming(archive, unpacked):
            return found.stored.read(name)

    stored = found.stored._replace(path=archive, read=read)
    return found._replace(stored=stored, files=(archive,))


@contextlib.contextmanager
def _naming(archive: str, unpacked: Unpacked) -> Iterator[None]:
    """Errors name the archive, and not the temporary folder."""
    try:
        yield
    except DeepLabError as error:
        raise DeepLabError(str(error).replace(f"{unpacked.folder}/", f"{archive}: ")) from error
