"""Models of the original for ADE20K: 151 outputs, of which output 0 is what the masks leave open.

The original trained them with labels 0..150 and `ignore_label` 0: no pixel was ever labelled 0, so
that output 0 learned nothing but to be low. Our data set has the 150 classes alone. An import for
it drops output 0; `--num_classes=151` keeps it, and class i + 1 is then class i of the data set.

Kept, mIoU is that of the original's eval.py (datasets/data_generator.py: num_classes 151,
ignore_label 0): class 0 has no label pixels and counts, with IoU 0, as soon as one labelled pixel
is predicted as it. Dropped, a pixel gets the best of the 150 classes, and the mean is over them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deeplab.data import DATASETS
from deeplab.data.sources.classes import Color, default_colors
from deeplab.errors import DeepLabError
from deeplab.interop.tf1.file import StoredVariables

DATASET = "ade20k"
OUTPUTS = 151
OTHER = "other"

_LOGITS = "logits/"


class Classes(NamedTuple):
    """What a model folder says of its classes.

    Attributes:
        names: in order of the ids.
        colors: an RGB colour (0..255) per class.
        ignore_label: the id of labels that count nowhere.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_label: int


def classes_with_other() -> Classes:
    """The 151 classes of a model that keeps output 0, which its labels never name."""
    return Classes((OTHER, *(DATASETS[DATASET].class_names or ())), default_colors(OUTPUTS), 0)


def has_other(file: StoredVariables) -> bool:
    """Whether a file of the original has the 151 outputs."""
    return any(
        name.startswith(_LOGITS) and name.endswith("/biases") and shape == (OUTPUTS,)
        for name, shape in file.shapes.items()
    )


def without_other(file: StoredVariables) -> StoredVariables:
    """The same file without output 0 of the last layer.

    Args:
        file: a file of which `has_other` is true.

    Raises:
        DeepLabError: if a variable of the last layer has another number of outputs.
    """
    shapes = dict(file.shapes)
    # Slots of an optimizer have other shapes, and are not read.
    last = [n for n in shapes if n.startswith(_LOGITS) and n.endswith(("/weights", "/biases"))]
    for name in last:
        if shapes[name][-1] != OUTPUTS:
            raise DeepLabError(
                f"{file.path}: {name} has {shapes[name][-1]} outputs, others of the last layer "
                f"have {OUTPUTS}"
            )
        shapes[name] = (*shapes[name][:-1], OUTPUTS - 1)

    def read(name: str) -> np.ndarray:
        value = file.read(name)
        return value[..., 1:] if name in last else value

    return StoredVariables(file.path, shapes, read)
