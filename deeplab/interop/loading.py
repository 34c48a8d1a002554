"""Putting stored values into a model: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import keras
import numpy as np

from deeplab.errors import DeepLabError
from deeplab.interop.report import ImportReport, Shapes
from deeplab.models import inflated, is_inflatable


class Parts(NamedTuple):
    """What of a model and of a file is left alone, by the names of the source.

    Attributes:
        fresh: whether a variable of the model keeps the value that it has.
        ignored: whether a variable of the file is of no network, or not asked for.
    """

    fresh: Callable[[str], bool]
    ignored: Callable[[str], bool]


def load(
    variables: Mapping[str, keras.Variable],
    stored: Shapes,
    read: Callable[[str], np.ndarray],
    *,
    path: str,
    source: str,
    parts: Parts,
    expected: object,
) -> ImportReport:
    """Assigns stored values to variables by name.

    Args:
        variables: those of the model, by the names of the source.
        stored: shapes of what the file holds, by name.
        read: name -> value. A first convolution of three inputs is inflated for a model of more
            (`models.inflated`).
        path: the file, for messages.
        source: kind and place of the weights, for the report.
        parts: what is left alone.
        expected: what the model is, for messages.

    Returns:
        The report. Variables that stay fresh are missing in it; stored ones of the same names
        unused.

    Raises:
        DeepLabError: if anything else is missing or left over, a shape differs or a value cannot be
            read or is not finite. Nothing is assigned then.
    """
    wanted = {name: tuple(v.shape) for name, v in variables.items() if not parts.fresh(name)}
    ignored = {name: shape for name, shape in stored.items() if parts.ignored(name)}
    kept = {name: shape for name, shape in stored.items() if name not in ignored}
    missing = {name: shape for name, shape in wanted.items() if name not in kept}
    unused = {name: s for name, s in kept.items() if name not in wanted and not parts.fresh(name)}
    for kind, names in (("missing", missing), ("unused", unused)):
        if names:
            name, shape = next(iter(names.items()))
            raise DeepLabError(
                f"{path}: {len(names)} {kind} variables, the first is {name} {list(shape)}: "
                f"this is not a checkpoint of {expected}"
            )
    inflate = [name for name, shape in wanted.items() if is_inflatable(kept[name], shape)]
    for name, shape in wanted.items():
        if kept[name] != shape and name not in inflate:
            raise DeepLabError(
                f"{path}: {name} has the shape {list(kept[name])}, the model needs {list(shape)}"
            )
    values = {name: _finite(read(name), name, path) for name in wanted}
    for name in inflate:
        values[name] = inflated(values[name], wanted[name][2])
    for name, value in values.items():
        variables[name].assign(value)
    return ImportReport(
        source=source,
        loaded=wanted,
        missing={n: tuple(v.shape) for n, v in variables.items() if n not in wanted},
        unused={name: shape for name, shape in kept.items() if name not in wanted},
        ignored=ignored,
        notes=tuple(
            f"{name} has 3 inputs, and was inflated to the {wanted[name][2]} channels of the model"
            for name in inflate
        ),
    )


def _finite(value: np.ndarray, name: str, path: str) -> np.ndarray:
    if not np.issubdtype(value.dtype, np.floating):
        raise DeepLabError(f"{path}: {name} holds {value.dtype} instead of float32")
    if not np.isfinite(value).all():
        raise DeepLabError(f"{path}: {name} holds values that are no finite numbers")
    return value


def numbers(shapes: Iterable[tuple[int, ...]]) -> int:
    """How many numbers variables of these shapes have."""
    return sum(int(np.prod(shape)) for shape in shapes)
