"""A data set whose records lie ready, reading them, and naming the one that cannot be read.

TensorFlow says that some JPEG is invalid, not which one. A damaged file is rare and ends the run
anyway, so nothing is spent on it while reading: when an error arrives, the records are read again,
one by one, until one fails.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping

import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab.data.colors import IGNORE_LABEL, Color
from deeplab.data.files.decode import decode_image, decode_label
from deeplab.data.prepared.record_table import RecordTable
from deeplab.data.sources.pairs import Source, find_split
from deeplab.data.spec import DatasetSpec, RecordKeys
from deeplab.errors import DeepLabError, unknown_name

_DAMAGED = (tf.errors.InvalidArgumentError, tf.errors.DataLossError, tf.errors.OutOfRangeError)


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
            raise unknown_split(self._spec, wanted, self.splits)
        return found

    def records(self, split: str, order: tf.data.Dataset | None = None) -> tf.data.Dataset:
        """Undecoded records.

        Args:
            split: a split's name or a synonym of it.
            order: int64 numbers of the records to read, any number of times; None for all of
                them once, in their fixed order.

        Returns:
            A data set of {"image": what `decode_image` takes, "label": gray PNG file of stored ids,
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


def unknown_split(spec: DatasetSpec, split: str, splits: Iterable[str]) -> DeepLabError:
    """The error that lists the splits, or says how to have the one that is missing."""
    if split in spec.split_hints:
        return DeepLabError(
            f"data set {spec.name!r}: no split {split!r} here: {spec.split_hints[split]}"
        )
    choices = (*splits, *spec.extra_splits)
    return DeepLabError(f"data set {spec.name!r}: {unknown_name('split', split, choices)}")


@contextlib.contextmanager
def naming_unreadable(dataset: PreparedDataset, *splits: str) -> Iterator[None]:
    """Runs a block that reads a data set.

    Args:
        dataset: what is read.
        splits: the splits that are read, in the order in which they are to be searched.

    Raises:
        DeepLabError: instead of an error of TensorFlow, if a record of the splits is damaged; it
            names data set, split and record.
    """
    try:
        yield
    except _DAMAGED as error:
        for split in splits:
            found = _first_unreadable(dataset, split)
            if found:
                raise DeepLabError(
                    f"data set {dataset.name!r}, split {split!r}: {found}; delete the prepared "
                    f"copy {dataset.prepared_dir(split)}, and it is prepared again"
                ) from error
        raise


class NamingBatches:
    """Batches of a split whose errors name the record. Can be iterated any number of times."""

    def __init__(self, batches: tf.data.Dataset, dataset: PreparedDataset, split: str) -> None:
        """Binds the batches to what they are read from."""
        self._batches = batches
        self._dataset = dataset
        self._split = split

    def __iter__(self) -> Iterator[Mapping[str, tf.Tensor]]:
        """Raises `DeepLabError` for a damaged record."""
        batches = iter(self._batches)
        while True:
            with naming_unreadable(self._dataset, self._split):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def _first_unreadable(dataset: PreparedDataset, split: str) -> str | None:
    reader = dataset.reader(split)
    for number in range(len(reader)):
        try:
            record = reader(tf.constant(number, tf.int64))
        except tf.errors.OpError as error:
            return f"record number {number} is damaged ({_reason(error)})"
        name = record["id"].numpy().decode()
        part = "label"
        try:
            label = decode_label(record["label"], dataset.label_map)
            part = "image"
            image = decode_image(record["image"], dataset.input_channels)
        except tf.errors.OpError as error:
            return f"the {part} of the record {name!r} cannot be decoded ({_reason(error)})"
        if image.shape[:2] != label.shape:
            image_size, label_size = ("x".join(map(str, x.shape[:2])) for x in (image, label))
            return (
                f"the image of the record {name!r} has {image_size} pixels and its label "
                f"{label_size}"
            )
    return None


def _reason(error: tf.errors.OpError) -> str:
    return error.message.splitlines()[0].split("}} ")[-1].split(" [Op:")[0].strip()
