"""Which model of the zoo a file or folder on this machine is: its name says so."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from deeplab.errors import DeepLabError
from deeplab.interop.model_zoo.rows import ROWS, SUFFIX, Row

_ROW_OF_ARCHIVE = {row.archive: row for row in ROWS.values()}
_ROW_OF_FOLDER = {folder: row for row in ROWS.values() for folder in row.folders}


class Place(NamedTuple):
    """A model of the zoo on this machine.

    Attributes:
        row: which one.
        archive: where it is packed; None: it is not.
        weights: else the prefix of its checkpoint, or its frozen graph.
    """

    row: Row
    archive: str | None = None
    weights: str | None = None


def find_place(path: str) -> Place:
    """The model at a path.

    Args:
        path: an archive under the name that it has on the server; a folder that was unpacked; or a
            checkpoint in one.

    Raises:
        DeepLabError: if no name says which model it is, or there are no weights.
    """
    place = Path(path).absolute()
    if place.is_dir():
        weights = _weights_in(place)
        return Place(_row_of(weights, path, top=place), weights=str(weights))
    if path.endswith((".tgz", ".tar", ".zip", SUFFIX)):
        row = _ROW_OF_ARCHIVE.get(place.name)
        if row is None:
            raise DeepLabError(
                f"{path} is not called like an archive of the model zoo; choices: "
                f"{', '.join(_ROW_OF_ARCHIVE)}"
            )
        return Place(row, archive=path)
    return Place(_row_of(place, path, top=place.parent), weights=path)


def _row_of(weights: Path, path: str, *, top: Path) -> Row:
    """By the folders from that of the weights up to the one above `top`."""
    for folder in weights.parents:
        if folder.name in _ROW_OF_FOLDER:
            return _ROW_OF_FOLDER[folder.name]
        if folder == top.parent:
            break
    raise DeepLabError(
        f"{path}: no folder says which model of the zoo this is; give it the name of the model or "
        "of its archive, pass the archive, or import the checkpoint with --source=tf1; models: "
        f"{', '.join(ROWS)}"
    )


def _weights_in(folder: Path) -> Path:
    """The one checkpoint of a folder, or its one frozen graph if it has none."""
    for pattern, kind in (("*.index", "checkpoints"), ("*.pb", "frozen graphs")):
        found = sorted(p for p in folder.rglob(pattern) if not p.name.startswith("._"))
        if len(found) > 1:
            raise DeepLabError(
                f"{folder} holds several {kind}: "
                f"{', '.join(str(p.relative_to(folder)) for p in found)}; pass the one that is "
                "meant"
            )
        if found:
            return found[0].with_suffix("") if pattern == "*.index" else found[0]
    raise DeepLabError(f"{folder} holds neither a checkpoint (*.index) nor a frozen graph (*.pb)")
