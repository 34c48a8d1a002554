"""Which classes an imported model has: how many, their names and colors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from deeplab.data import DATASETS
from deeplab.data.colors import Color, default_colors
from deeplab.errors import DeepLabError, unknown_name
from deeplab.interop.tf1.ade20k import DATASET as ADE20K
from deeplab.interop.tf1.ade20k import OUTPUTS as ADE20K_OUTPUTS

_IGNORE_LABEL = 255


class Classes(NamedTuple):
    """What a model folder says of its classes.

    Attributes:
        names: in order of the ids.
        colors: an RGB color (0..255) per class.
        ignore_label: the id of labels that count nowhere.
        named: whether the names are more than numbers.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_label: int
    named: bool


def wanted_number(dataset: str | None, num_classes: int | None) -> int | None:
    """How many classes a data set and a number ask for; None if the file decides.

    Raises:
        DeepLabError: if the data set is unknown, or they contradict each other.
    """
    if dataset is None:
        return num_classes
    if dataset not in DATASETS:
        raise unknown_name("data set", dataset, DATASETS)
    names = DATASETS[dataset].class_names
    if names is None:
        raise DeepLabError(
            f"--dataset={dataset} has no class names of its own: its source folder has them"
        )
    if dataset == ADE20K and num_classes == ADE20K_OUTPUTS:
        return num_classes
    if num_classes not in (None, len(names)):
        raise DeepLabError(
            f"--num_classes is {num_classes}, but --dataset={dataset} has {len(names)} classes"
        )
    return len(names)


def check_number(number: int, path: str, *, wanted: int | None, dataset: str | None) -> None:
    """Raises a `DeepLabError` if a file has another number of classes than asked for."""
    if wanted in (None, number):
        return
    if dataset == ADE20K and number == ADE20K_OUTPUTS:
        way = f"--num_classes={number} keeps class 0"
    else:
        way = "--skip=logits leaves its last layer fresh, for another number"
    who = f"--dataset={dataset} has" if dataset else "--num_classes is"
    raise DeepLabError(f"{path} has {number} classes, but {who} {wanted}; {way}")


def classes_of(dataset: str | None, count: int, *, names: tuple[str, ...] | None = None) -> Classes:
    """Names and colors of a data set, else names that the file has, else numbers."""
    spec = DATASETS[dataset] if dataset else None
    if spec:
        names = spec.class_names
    if dataset == ADE20K and count == ADE20K_OUTPUTS:
        # Kept, output 0 is a class that the labels, 1 to 150, never name.
        return Classes(("other", *(names or ())), default_colors(count), 0, named=True)
    if names is not None and len(names) != count:
        spec = names = None  # of other classes than the fresh logits'
    digits = max(2, len(str(count - 1)))
    return Classes(
        names or tuple(f"class_{index:0{digits}d}" for index in range(count)),
        (spec.colors if spec else None) or default_colors(count),
        _IGNORE_LABEL,
        named=names is not None,
    )


def class_lines(classes: Classes) -> Iterator[str]:
    """What the user should read of the classes."""
    if not classes.named:
        yield f"classes are called {classes.names[0]} and so on (no --dataset)"
    if len(classes.names) == ADE20K_OUTPUTS:
        way = "" if classes.named else f"; --dataset={ADE20K} drops it"
        yield (
            "151 outputs, as models for ADE20K have them: class 0 is what its masks ignore, and is "
            f"kept as a class here{way}"
        )
