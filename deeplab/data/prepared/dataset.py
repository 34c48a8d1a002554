"""Preparing a data set as TFDS records, once, and reading them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab import checks
from deeplab.data.builders.folder import Folder
from deeplab.data.colors import IGNORE_LABEL, Color
from deeplab.data.datasets import DATASETS
from deeplab.data.files.problems import Problem, refuse
from deeplab.data.prepared.copies import naming_damaged_copies, only_copy, open_copy
from deeplab.data.prepared.paths import data_place, naming_unreachable, source_place
from deeplab.data.prepared.prepare import prepare, quiet_tfds
from deeplab.data.prepared.record_table import RecordTable
from deeplab.data.sources.pairs import MissingFiles, Source, find_split
from deeplab.data.spec import DatasetSpec, FromSource, RecordKeys, is_prepared
from deeplab.errors import DeepLabError, unknown_name


class PreparedDataset:
    """A data set whose records lie ready to be read.

    Attributes:
        name: its key in `DATASETS`.
        class_names: in order of the ids.
        colors: an RGB color (0..255) per class.
        ignore_label: the id of pixels without a class: 255, or 65535 if there are more than 255
            classes.
        label_map: what the stored ids 0..255 become; None: they are class ids already.
        input_channels: of the images, at least 3, of which the first are R, G and B.
        mask_ignore: the id that means "no class" in the source's masks; None: not known.
        mask_colors: what the source says of the colors of its masks, one per class; None: nothing.
        splits: number of images per split.
        train_split: the split to train on unless told otherwise.
        eval_split: the split to evaluate on unless told otherwise.
        source_dir: absolute path of the raw files, None if there are none.
        data_dir: absolute path of the TFDS folder.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        builder: tfds.core.DatasetBuilder,
        *,
        extra: Mapping[str, tfds.core.DatasetBuilder],
        source: Source | None,
        source_dir: str | None,
        data_dir: str,
    ) -> None:
        """Reads the metadata of builders that are prepared.

        Args:
            spec: what it is.
            builder: holds all splits but those of `extra`.
            extra: split -> the builder that holds it.
            source: what the records are made of, None if that is not here.
            source_dir: raw files, None if there are none.
            data_dir: the TFDS folder.
        """
        self._spec = spec
        self._builders = {**dict.fromkeys(builder.info.splits, builder), **extra}
        self._readers: dict[tuple[str, int, int], RecordReader] = {}
        self.name = spec.name
        self.label_map = spec.label_map
        self.input_channels = 3
        self.mask_ignore: int | None = None
        self.mask_colors: tuple[Color, ...] | None = None
        if source is not None and source.stored_ids is None:
            self.mask_ignore = source.classes.ignore
            self.mask_colors = source.classes.colors
        self.source_dir = source_dir
        self.data_dir = data_dir
        self.splits: dict[str, int] = {
            name: holder.info.splits[name].num_examples for name, holder in self._builders.items()
        }
        self.train_split = find_split(spec.train_split, self.splits) or spec.train_split
        self.eval_split = find_split(spec.eval_split, self.splits) or spec.eval_split
        if spec.class_names is None or spec.colors is None:
            metadata = builder.info.metadata
            self.class_names: tuple[str, ...] = tuple(metadata["class_names"])
            self.colors: tuple[Color, ...] = tuple(
                (red, green, blue) for red, green, blue in metadata["colors"]
            )
            self.ignore_label = int(metadata["ignore_label"])
            self.input_channels = int(metadata.get("channels", 3))
        else:
            self.class_names = spec.class_names
            self.colors = spec.colors
            self.ignore_label = spec.ignore_label

    @property
    def label_type(self) -> tf.DType:
        """The type of the stored ids: uint16 if there are more than 255 classes, else uint8."""
        return tf.uint16 if self.ignore_label > IGNORE_LABEL else tf.uint8

    @property
    def num_classes(self) -> int:
        """The number of classes, without the ignored id."""
        return len(self.class_names)

    def prepared_dir(self, split: str) -> str:
        """The folder in data_dir that holds the records of a split."""
        return os.fspath(self._builders[split].data_path)

    def find_split(self, name: str | None, default: str) -> str:
        """The split of that name; "val" and "validation" mean the same.

        Args:
            name: what was asked for, None for the default.
            default: what is taken then.

        Raises:
            DeepLabError: if there is none; the message lists the splits.
        """
        wanted = default if name is None else name
        found = find_split(wanted, self.splits)
        if found is None:
            raise _unknown_split(self._spec, wanted, self.splits)
        return found

    def records(self, split: str, order: tf.data.Dataset | None = None) -> tf.data.Dataset:
        """Undecoded records.

        Args:
            split: a split's name or a synonym of it.
            order: int64 numbers of the records to read, any number of times; None for all of
                them once, in their fixed order.

        Returns:
            A data set of {"image": what `decode_image` takes, "label": grey PNG file of stored ids,
            "id": name}, string scalars.

        Raises:
            DeepLabError: if there is no such split.
        """
        name = self.find_split(split, split)
        if order is None:
            order = tf.data.Dataset.range(self.splits[name])
        return order.map(self.reader(name))

    def open_all(self) -> None:
        """Opens every split, which finds the files that are missing or cut.

        Raises:
            DeepLabError: if there is one.
        """
        for split in self.splits:
            self.reader(split)

    def reader(self, split: str, part: int = 0, parts: int = 1) -> RecordReader:
        """A function that reads the record of a number inside a graph.

        Args:
            split: a split's name or a synonym of it.
            part: with `parts`: every `parts`-th file from this one on; numbers count its records.
            parts: how many readers share the files of the split.

        Raises:
            DeepLabError: if there is no such split, it has fewer files than parts, or a file is
                missing, cut or longer than it was.
        """
        name = self.find_split(split, split)
        if (name, part, parts) not in self._readers:
            info = self._builders[name].info
            paths = [os.fspath(path) for path in info.splits[name].filepaths]
            if len(paths) < parts:
                raise DeepLabError(
                    f"the split {name!r} of the data set {self.name!r} has {len(paths)} "
                    f"file{'s' if len(paths) > 1 else ''} for {parts} workers; "
                    "DataConfig.shard = 'position' needs no more than one"
                )
            table = RecordTable(paths[part::parts])
            written = sum(info.splits[name].shard_lengths[part::parts])
            if len(table) != written:
                raise DeepLabError(
                    f"data set {self.name!r}, split {name!r}: {written:,} records were written, "
                    f"{len(table):,} are there; delete the prepared copy "
                    f"{self.prepared_dir(name)}, and it is prepared again"
                )
            self._readers[name, part, parts] = RecordReader(
                table, info.features, self._spec.record_keys
            )
        return self._readers[name, part, parts]


class RecordReader:
    """Number of a record -> its undecoded features."""

    def __init__(
        self, table: RecordTable, features: tfds.features.FeaturesDict, keys: RecordKeys
    ) -> None:
        """Binds the table of the records to the description of what is in them."""
        self._table = table
        self._keys = dataclasses.asdict(keys)
        # TFDS's own builders store more, which need not be decoded.
        self._features = tfds.features.FeaturesDict(
            {name: features[name] for name in self._keys.values()}
        )
        self._decoders = {name: tfds.decode.SkipDecoding() for name in (keys.image, keys.label)}

    def __len__(self) -> int:
        """The number of records."""
        return len(self._table)

    @property
    def stored_bytes(self) -> int:
        """The size of all records."""
        return self._table.num_bytes

    def __call__(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Reads and parses a record.

        Args:
            index: int64 scalar, 0 <= index < len(self).

        Returns:
            {"image", "label", "id"}, string scalars.
        """
        record = self._table.read(index)
        example = self._features.deserialize_example(record, decoders=self._decoders)
        return {key: example[name] for key, name in self._keys.items()}

    def all(self) -> tf.data.Dataset:
        """All records in their fixed order."""
        return tf.data.Dataset.range(len(self)).map(self)


def load_dataset(
    name: str,
    *,
    data_dir: str | None = None,
    source_dir: str | None = None,
    splits: Iterable[str] = (),
    num_classes: int | None = None,
    input_channels: int | None = None,
    beam_flags: Sequence[str] | None = None,
    may_prepare: bool = True,
) -> PreparedDataset:
    """Opens a data set and prepares it first if that has not been done.

    Preparation is atomic: after an error or a kill nothing of it can be taken for the data set.

    Args:
        name: a key of `DATASETS`.
        data_dir: where prepared records lie; None: $TFDS_DATA_DIR, else ~/tensorflow_datasets.
        source_dir: raw files, only ever read.
        splits: what will be asked for; where one is missing nothing is prepared.
        num_classes: how many classes are expected, likewise; None: any number.
        input_channels: how many channels of the images are expected, likewise; None: any number.
        beam_flags: options of Apache Beam, such as ("--runner=DirectRunner",), on which a source
            folder is then prepared; None: by the threads of this process.
        may_prepare: whether it is prepared if it is not yet; an error else.

    Raises:
        DeepLabError: if the name is unknown, the source cannot be used, it lacks what is expected
            of it, or data_dir cannot be reached or written; a folder that did not exist before does
            not exist after it.
    """
    spec, data_dir, source_dir = _located(name, data_dir, source_dir)
    splits = tuple(splits)
    extra = {split: spec.extra_splits[split] for split in splits if split in spec.extra_splits}
    parts = (spec, *extra.values())
    with naming_unreachable(data_dir):
        # All are found before one is prepared.
        made = [(part, _make_builder(part, data_dir, source_dir)) for part in parts]
        for part, found in made:
            if isinstance(found, Folder):
                refuse(found.source.problems)
                _check_sizes(part, found.source.sizes)
        own_splits = [split for split in splits if split not in extra]
        _check_expected(spec, made[0][1], own_splits, num_classes, input_channels)
        builder, *others = [
            _prepared(part, builder, data_dir, source_dir, beam_flags, may_prepare)
            for part, builder in made
        ]
    _, found = made[0]
    return PreparedDataset(
        spec,
        builder,
        extra=dict(zip(extra, others, strict=True)),
        source=found.source if isinstance(found, Folder) else None,
        source_dir=source_dir,
        data_dir=data_dir,
    )


def _make_builder(
    spec: DatasetSpec, data_dir: str, source_dir: str | None
) -> tfds.core.DatasetBuilder:
    """The builder of a data set: of its source, or of the only prepared copy.

    Raises:
        DeepLabError: if there is neither, or the source is not complete.
    """
    if source_dir is None and spec.needs_source_dir:
        return only_copy(spec, data_dir)
    with quiet_tfds(), _told_how_to_get(spec), naming_damaged_copies(spec, data_dir):
        return spec.make_builder(data_dir, source_dir)


@contextlib.contextmanager
def _told_how_to_get(spec: DatasetSpec) -> Iterator[None]:
    try:
        yield
    except MissingFiles as error:
        raise DeepLabError(f"{error}; to have {spec.name}: {spec.how_to_get}") from error


def _prepared(
    spec: DatasetSpec,
    builder: tfds.core.DatasetBuilder,
    data_dir: str,
    source_dir: str | None,
    beam_flags: Sequence[str] | None,
    may_prepare: bool,
) -> tfds.core.DatasetBuilder:
    if isinstance(builder, Folder) and builder.note:
        print(f"{spec.name}: {builder.note}", flush=True)
    prepared = is_prepared(builder)
    if not prepared and not may_prepare:
        raise DeepLabError(f"the data set {spec.name!r} is not prepared in {data_dir}")
    if prepared and beam_flags is not None:
        print(f"{spec.name}: prepared already, without effect: --beam_options", flush=True)
    if not prepared:
        print(f"preparing the data set {spec.name} in {data_dir} (once)", flush=True)
        prepare(spec, builder, data_dir=data_dir, source_dir=source_dir, beam_flags=beam_flags)
    # Read back from the disk, as it will be the next time.
    builder = open_copy(spec, builder.data_path)
    _check_sizes(spec, {name: info.num_examples for name, info in builder.info.splits.items()})
    return builder


def find_source(
    name: str, *, data_dir: str | None = None, source_dir: str | None = None
) -> Source | None:
    """The raw files that `load_dataset` would prepare, with all that is wrong with their listing.

    Args:
        name: a key of `DATASETS`.
        data_dir: as of `load_dataset`.
        source_dir: as of `load_dataset`.

    Returns:
        The source, with a problem for each split of another size than published; None if the data
        set is not prepared from pairs of files, or they are not here and a prepared copy is used.

    Raises:
        DeepLabError: if the name is unknown or the source cannot be used.
    """
    spec, data_dir, source_dir = _located(name, data_dir, source_dir)
    if source_dir is None or not isinstance(spec.make_builder, FromSource):
        return None
    # Without a builder, whose place depends on the state of every file.
    with _told_how_to_get(spec):
        source = spec.make_builder.scan(Path(source_dir))
    if source.problems:  # they say why images are missing
        return source
    problems = [
        Problem(
            "missing_image",
            source.path,
            f"split {split} has {found:,} images, {published:,} are published; "
            f"{_all_or_folder(spec)}",
        )
        for split, found, published in _wrong_sizes(spec, source.sizes)
    ]
    return dataclasses.replace(source, problems=tuple(problems))


def _located(
    name: str, data_dir: str | None, source_dir: str | None
) -> tuple[DatasetSpec, str, str | None]:
    """What a name means, and the folders as absolute paths."""
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    data_dir = data_place(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    return DATASETS[name], data_dir, source_place(source_dir) if source_dir else None


def _check_expected(
    spec: DatasetSpec,
    builder: tfds.core.DatasetBuilder,
    splits: Iterable[str],
    num_classes: int | None,
    input_channels: int | None,
) -> None:
    """Refuses, before the work of preparing it, what could not be used afterwards."""
    # What a specification leaves out is known once the data set is prepared.
    known: Iterable[str] = spec.split_sizes
    classes = len(spec.class_names) if spec.class_names else None
    channels = 3 if spec.class_names else None
    if isinstance(builder, Folder):
        known, classes = builder.source.splits, len(builder.source.classes.names)
        channels = builder.source.classes.channels
    for split in splits:
        if known and find_split(split, known) is None:
            raise _unknown_split(spec, split, known)
    source = f"the data set {spec.name!r}"
    if classes is not None:
        checks.num_classes(num_classes, classes, source)
    if channels is not None:
        checks.input_channels(input_channels, channels, source)


def _wrong_sizes(spec: DatasetSpec, sizes: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """Splits of another size than published, with the number found and the one published."""
    wrong = []
    for split, found in sizes.items():
        official = find_split(split, spec.split_sizes)
        if official is not None and spec.split_sizes[official] != found:
            wrong.append((split, found, spec.split_sizes[official]))
    return wrong


def _check_sizes(spec: DatasetSpec, sizes: Mapping[str, int]) -> None:
    """Refuses a part of a published data set, which would give numbers that mean nothing."""
    for split, found, published in _wrong_sizes(spec, sizes):
        raise DeepLabError(
            f"{spec.name} has {published:,} images in the split {split!r}, found {found:,}; "
            f"{_all_or_folder(spec)}"
        )


def _all_or_folder(spec: DatasetSpec) -> str:
    return f"a part of it is for the data set 'folder'; to have all: {spec.how_to_get}"


def _unknown_split(spec: DatasetSpec, split: str, splits: Iterable[str]) -> DeepLabError:
    if split in spec.split_hints:
        return DeepLabError(
            f"data set {spec.name!r}: no split {split!r} here: {spec.split_hints[split]}"
        )
    choices = (*splits, *spec.extra_splits)
    return DeepLabError(f"data set {spec.name!r}: {unknown_name('split', split, choices)}")
