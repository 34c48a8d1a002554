"""What happened to every variable when foreign weights were loaded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator

Shapes = dict[str, tuple[int, ...]]

_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclasses.dataclass(frozen=True)
class FileRecord:
    """A file that weights were read from.

    Attributes:
        path: where it lay.
        size: in bytes.
        sha256: its SHA-256 sum in hexadecimal digits.
    """

    path: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """The outcome of an import, by the names of the source.

    Attributes:
        source: kind and place of the weights.
        loaded: variables that were read into the model, with their shapes.
        missing: variables of the model that the source lacks.
        unused: variables of the source that the model does not have.
        ignored: variables that no network has, such as optimizer slots.
        fresh_parts: beginnings of the paths in a model folder, such as "decoder", below which
            nothing was loaded.
        notes: what a user should know of the weights, a sentence each.
        batch_norm_folded: whether the source had its batch norm folded into the convolutions. The
            layers then compute the same in inference, but not with the statistics of a batch: they
            are to stay frozen in fine-tuning.
        files: those that were read.
        revision: the commit of a repository on the Hugging Face Hub; None: of no repository.
    """

    source: str
    loaded: Shapes
    missing: Shapes
    unused: Shapes
    ignored: Shapes
    fresh_parts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    batch_norm_folded: bool = False
    files: tuple[FileRecord, ...] = ()
    revision: str | None = None

    def with_loaded(self, names: Iterable[str]) -> ImportReport:
        """The same, where variables that no network has are loaded all the same."""
        loaded = {name: self.ignored[name] for name in names}
        ignored = {name: shape for name, shape in self.ignored.items() if name not in loaded}
        return dataclasses.replace(self, loaded={**self.loaded, **loaded}, ignored=ignored)


def list_of(names: Iterable[str], most: int = 5) -> str:
    """Names for a message, of many the first ones."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def table(report: ImportReport) -> Iterator[str]:
    """What happened to every variable; those of a layer share a line."""
    for what, shapes in (
        ("loaded", report.loaded),
        ("missing (they keep their fresh values)", report.missing),
        ("unused", report.unused),
        ("ignored", report.ignored),
    ):
        numbers, colon = sum(map(math.prod, shapes.values())), ":" if shapes else ""
        yield f"{what}: {len(shapes)} variables, {numbers:,} numbers{colon}"
        layers: dict[str, Shapes] = {}
        for name, shape in shapes.items():
            layer, _, variable = name.rpartition("/")
            layers.setdefault(layer, {})[variable] = shape
        for layer, variables in layers.items():
            yield f"  {f'{layer}: ' if layer else ''}{_shapes(variables)}"


def _shapes(variables: Shapes) -> str:
    if len(variables) == len(_NORM) and all(name in variables for name in _NORM):
        return f"{', '.join(_NORM)} {list(variables['gamma'])}"
    return ", ".join(f"{name} {list(shape)}" for name, shape in variables.items())
