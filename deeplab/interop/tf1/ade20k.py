"""Models of the original for ADE20K: 151 outputs, of which output 0 is what the masks leave open.

The original trained them with labels 0..150 and `ignore_label` 0: no pixel was ever labeled 0, so
that output 0 learned nothing but to be low. Our data set has the 150 classes alone. An import for
it drops output 0; `--num_classes=151` keeps it, and class i + 1 is then class i of the data set.

Kept, mIoU is that of the original's eval.py (datasets/data_generator.py: num_classes 151,
ignore_label 0): class 0 has no label pixels and counts, with IoU 0, as soon as one labeled pixel
is predicted as it. Dropped, a pixel gets the best of the 150 classes, and the mean is over them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.interop.loading import Request, Stored

DATASET = "ade20k"
OUTPUTS = 151

_LOGITS = "logits/"


def without_unwanted(
    file: Stored, request: Request, given: dict[str, Any]
) -> tuple[Stored, tuple[str, ...]]:
    """The file that an import is of: without output 0, if that is there and not asked for.

    Args:
        file: of the original.
        request: what is asked for.
        given: flags of the original; the number of outputs is taken out of them.

    Returns:
        The file, and what the user should read of it.

    Raises:
        DeepLabError: if a variable of the last layer has another number of outputs.
    """
    has_other = any(
        name.startswith(_LOGITS) and name.endswith("/biases") and shape == (OUTPUTS,)
        for name, shape in file.shapes.items()
    )
    is_asked_for = request.dataset != DATASET or request.num_classes == OUTPUTS
    if is_asked_for or request.fresh_classes is not None or not has_other:
        return file, ()
    if given.get("num_classes") == OUTPUTS:
        del given["num_classes"]
    line = f"dropped output 0 of {OUTPUTS}, which the masks of ADE20K ignore"
    return _without_other(file), (f"{line}: --num_classes={OUTPUTS} keeps it",)


def _without_other(file: Stored) -> Stored:
    """The same file without output 0 of the last layer."""
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

    return Stored(file.path, shapes, read)
