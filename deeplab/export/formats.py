"""The table of export formats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from deeplab.export import keras_file, litert, onnx, saved_model, web
from deeplab.export.hub import hugging_face, timm
from deeplab.export.source import Source
from deeplab.export.verify import Verification
from deeplab.models import ModelConfig


class Format(NamedTuple):
    """A row of `FORMATS`.

    Attributes:
        write: fills an empty folder, reads it again and compares it with the model. Raises a
            `DeepLabError` if they differ.
        contents: names of what may lie in such a folder. The first always does.
        check: raises a `DeepLabError` for a network that the format does not have, or a package
            that is not installed; None: it has all. Asked before anything slow begins.
        has_sizes: whether it may be for images of one size.
        is_sized: whether it is for images of one size unless it is told otherwise.
        has_averages: whether it may average over scales and mirrored images.
        is_calibrated: whether it is made with images, `Source.calibration_images`.
    """

    write: Callable[[Source, Path], Verification]
    contents: tuple[str, ...]
    check: Callable[[ModelConfig], None] | None = None
    has_sizes: bool = False
    is_sized: bool = False
    has_averages: bool = False
    is_calibrated: bool = False


FORMATS: dict[str, Format] = {
    "hugging_face": Format(hugging_face.write, hugging_face.CONTENTS, hugging_face.check),
    "keras": Format(keras_file.write, keras_file.CONTENTS),
    **{
        name: Format(
            partial(litert.write, format=name),
            litert.CONTENTS,
            litert.check,
            has_sizes=True,
            is_sized=True,
            is_calibrated=variant.is_calibrated,
        )
        for name, variant in litert.VARIANTS.items()
    },
    "onnx": Format(onnx.write, onnx.CONTENTS, onnx.check),
    "saved_model": Format(
        saved_model.write, saved_model.CONTENTS, has_sizes=True, has_averages=True
    ),
    "timm": Format(timm.write, timm.CONTENTS, timm.check),
    "web": Format(web.write, web.CONTENTS, web.check),
}


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export, or a folder for each of several, and nothing else."""
    names = {path.name for path in folder.iterdir()}
    if names and names <= FORMATS.keys():
        return all(_is_of(folder / name, FORMATS[name]) for name in names)
    return any(_is_of(folder, row) for row in FORMATS.values())


def _is_of(folder: Path, row: Format) -> bool:
    if not (folder / row.contents[0]).is_file():
        return False
    return {path.name for path in folder.iterdir()} <= set(row.contents)
