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
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_label: int


class Wanted(NamedTuple):
    """The classes that a user asks for.

    Attributes:
        dataset: whose names they have; None for numbers.
        number: how many; None if the file decides.
    """

    dataset: str | None
    number: int | None

    @property
    def drops_other(self) -> bool:
        """Whether output 0 of the original's models for ADE20K is not among them."""
        return self.dataset == ADE20K and self.number != ADE20K_OUTPUTS


def wanted_classes(dataset: str | None, num_classes: int | None) -> Wanted:
    """What a data set and a number of classes ask for.

    Raises:
        DeepLabError: if the data set is unknown, or they contradict each other.
    """
    if dataset is None:
        return Wanted(None, num_classes)
    if dataset not in DATASETS:
        raise unknown_name("data set", dataset, DATASETS)
    names = DATASETS[dataset].class_names
    if names is None:
        raise DeepLabError(
            f"--dataset={dataset} has no class names of its own: its source folder has them"
        )
    if dataset == ADE20K and num_classes == ADE20K_OUTPUTS:
        return Wanted(dataset, num_classes)
    if num_classes not in (None, len(names)):
        raise DeepLabError(
            f"--num_classes is {num_classes}, but --dataset={dataset} has {len(names)} classes"
        )
    return Wanted(dataset, len(names))


def check_count(wanted: Wanted, count: int, path: str) -> None:
    """Raises a `DeepLabError` if a file has another number of classes than asked for."""
    if wanted.number in (None, count):
        return
    if wanted.drops_other and count == ADE20K_OUTPUTS:
        way = f"--num_classes={count} keeps class 0"
    else:
        way = "--skip=logits leaves its last layer fresh, for another number"
    who = f"--dataset={wanted.dataset} has" if wanted.dataset else "--num_classes is"
    raise DeepLabError(f"{path} has {count} classes, but {who} {wanted.number}; {way}")


def classes_of(dataset: str | None, count: int) -> Classes:
    """Names and colors of a data set, or numbers."""
    spec = DATASETS[dataset] if dataset else None
    names = spec.class_names if spec else None
    if dataset == ADE20K and count == ADE20K_OUTPUTS:
        # Kept, output 0 is a class that the labels, 1 to 150, never name.
        return Classes(("other", *(names or ())), default_colors(count), ignore_label=0)
    digits = max(2, len(str(count - 1)))
    return Classes(
        names or tuple(f"class_{index:0{digits}d}" for index in range(count)),
        (spec.colors if spec else None) or default_colors(count),
        _IGNORE_LABEL,
    )


def class_lines(classes: Classes, dataset: str | None) -> Iterator[str]:
    """What the user should read of the classes."""
    if dataset is None:
        yield f"classes are called {classes.names[0]} and so on (no --dataset)"
    if len(classes.names) == ADE20K_OUTPUTS:
        way = "" if dataset else f"; --dataset={ADE20K} drops it"
        yield (
            "151 outputs, as models for ADE20K have them: class 0 is what its masks ignore, and is "
            f"kept as a class here{way}"
        )
