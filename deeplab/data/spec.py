"""What the package knows about a data set before anything of it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from deeplab.data.classes import IGNORE_LABEL, Color

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """A data set by name.

    Attributes:
        name: the key in `DATASETS`.
        make_builder: (data_dir, source_dir or None) -> TFDS builder whose features are "image"
            (JPEG or PNG, three channels), "label" (grey PNG of class ids) and "id" (text). It
            reads the source's file names at most and writes nothing; it raises DeepLabError if
            the source cannot be used.
        class_names: in order of the ids; None if the source decides.
        colors: an RGB colour (0..255) per class; None if the source decides.
        train_split: the default split to train on.
        eval_split: the default split to evaluate on.
        description: one or two sentences.
        license: under which terms the images may be used.
        how_to_get: what the user has to do to have it.
        citation: BibTeX, or "".
        ignore_label: the id of pixels without a class.
        split_sizes: images per split, as published; empty if the source decides.
        label_map: what the stored ids 0..255 become, for records that were not made here; None:
            they are class ids already.
        needs_source_dir: whether raw files are needed, at least the first time.
    """

    name: str
    make_builder: Callable[[str, str | None], tfds.core.DatasetBuilder]
    class_names: tuple[str, ...] | None
    colors: tuple[Color, ...] | None
    train_split: str
    eval_split: str
    description: str
    license: str
    how_to_get: str
    citation: str = ""
    ignore_label: int = IGNORE_LABEL
    split_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    label_map: tuple[int, ...] | None = None
    needs_source_dir: bool = False
