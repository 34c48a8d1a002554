"""What the package knows about a data set before anything of it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from deeplab.data.colors import IGNORE_LABEL, Color

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

MakeBuilder = Callable[[str, str | None], "tfds.core.DatasetBuilder"]


@dataclasses.dataclass(frozen=True)
class RecordKeys:
    """What the features of a record are called.

    Attributes:
        image: a JPEG or PNG file of three channels, or what `channels.packed` makes of more.
        label: a grey PNG file of ids.
        id: a text that is unique in its split.
    """

    image: str = "image"
    label: str = "label"
    id: str = "id"


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """A data set by name.

    Attributes:
        name: the key in `DATASETS`.
        make_builder: (data_dir, source_dir or None) -> TFDS builder whose records have the
            features of `record_keys`. It reads the source's file names at most and writes nothing;
            it raises MissingFiles if something is not there and DeepLabError if the source cannot
            be used otherwise. It is not called without source_dir if `needs_source_dir`.
        class_names: in order of the ids; None if the source decides.
        colors: an RGB colour (0..255) per class; None if the source decides.
        train_split: the default split to train on.
        eval_split: the default split to evaluate on.
        description: one or two sentences.
        license: under which terms the images may be used.
        how_to_get: what the user has to do to have it; ends every message about missing files.
        citation: BibTeX, or "".
        ignore_label: the id of pixels without a class.
        split_sizes: images per split, as published; empty if the source decides. What is found must
            have as many: who has a part of it uses the data set `folder`.
        label_map: what the stored ids 0..255 become, for records that were not made here, with
            the ignored one at its own place; None: they are class ids already.
        needs_source_dir: whether raw files are needed, at least the first time. A single prepared
            copy is found again without them, unless the source decides about the classes.
        by_tfds: whether TFDS's own code prepares it, which may download and unpack.
        record_keys: what the features are called.
        copies: where prepared copies lie below data_dir, a pattern; "": NAME/*/*.
        split_hints: what the user has to do to have a split that may be missing.
        further: splits that another builder holds, prepared only when they are asked for.
    """

    name: str
    make_builder: MakeBuilder
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
    by_tfds: bool = False
    record_keys: RecordKeys = RecordKeys()
    copies: str = ""
    split_hints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    further: Mapping[str, DatasetSpec] = dataclasses.field(default_factory=dict)
