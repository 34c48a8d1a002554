"""What the package knows about a data set before anything of it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from deeplab.data.colors import IGNORE_LABEL, Color
from deeplab.data.sources.folder import existing_folder
from deeplab.data.sources.pairs import MissingFiles, Source

MakeBuilder = Callable[[str, str | None], tfds.core.DatasetBuilder]


@dataclasses.dataclass(frozen=True)
class RecordKeys:
    """What the features of a record are called.

    Attributes:
        image: a JPEG or PNG file of three channels, or what `images.png` makes of more.
        label: a gray PNG file of ids.
        id: a text that is unique in its split.
    """

    image: str = "image"
    label: str = "label"
    id: str = "id"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A data set by name.

    Attributes:
        name: the key in `DATASETS`.
        make_builder: (data_dir, source_dir or None) -> TFDS builder whose records have the
            features of `record_keys`. It reads the source's file names at most and writes nothing;
            it raises MissingFiles if something is not there and DeepLabError if the source cannot
            be used otherwise. It is not called without source_dir if `needs_source_dir`.
        class_names: in order of the ids; None if the source decides.
        colors: an RGB color (0..255) per class; None if the source decides.
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
        prepared_by_tfds: whether TFDS's own code prepares it, which may download and unpack.
        record_keys: what the features are called.
        copies: where prepared copies lie below data_dir, a pattern; "": NAME/*/*.
        split_hints: what the user has to do to have a split that may be missing.
        extra_splits: splits that another builder holds, prepared only when they are asked for.
    """

    name: str
    make_builder: MakeBuilder
    class_names: tuple[str, ...] | None
    colors: tuple[Color, ...] | None
    train_split: str = "train"
    eval_split: str = "val"
    description: str
    license: str
    how_to_get: str
    citation: str = ""
    ignore_label: int = IGNORE_LABEL
    split_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    label_map: tuple[int, ...] | None = None
    needs_source_dir: bool = False
    prepared_by_tfds: bool = False
    record_keys: RecordKeys = RecordKeys()
    copies: str = ""
    split_hints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    extra_splits: Mapping[str, DatasetSpec] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class FromSource:
    """Makes the builder of a source folder.

    Attributes:
        builder: (source, data_dir) -> the builder.
        scan: reads what the folder holds.
    """

    builder: Callable[[Source, str], tfds.core.DatasetBuilder]
    scan: Callable[[Path], Source]

    def __call__(self, data_dir: str, source_dir: str | None) -> tfds.core.DatasetBuilder:
        """The builder of what the folder holds."""
        if source_dir is None:
            raise ValueError("the specification must say that it needs a source folder")
        return self.builder(self.scan(Path(source_dir)), data_dir)


def is_prepared(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether the data set of a builder lies where the builder looks for it."""
    # TFDS's own answer is no wherever the path of the folder is a pattern.
    return (builder.data_path / tfds.core.constants.DATASET_INFO_FILENAME).exists()


def of_tfds(name: str, archives: Sequence[str]) -> MakeBuilder:
    """One of TFDS's own builders.

    Args:
        name: its name, with the configuration.
        archives: the files that it takes from source_dir, if there is one.
    """

    def make(data_dir: str, source_dir: str | None) -> tfds.core.DatasetBuilder:
        builder = tfds.builder(name, data_dir=data_dir)
        if source_dir is not None and not is_prepared(builder):
            folder = existing_folder(Path(source_dir))
            missing = [archive for archive in archives if not (folder / archive).is_file()]
            if missing:
                raise MissingFiles(f"{folder} has no {' and no '.join(missing)}")
        return builder

    return make


def names(text: str) -> tuple[str, ...]:
    """The names of a list that commas separate, on any number of lines."""
    return tuple(" ".join(name.split()) for name in text.split(","))


def label_map(ids: dict[int, int], other: int = IGNORE_LABEL) -> tuple[int, ...]:
    """What each of the stored ids 0..255 becomes.

    Args:
        ids: stored id -> class id.
        other: what the ids that are not listed become.
    """
    return tuple(ids.get(stored, other) for stored in range(256))
