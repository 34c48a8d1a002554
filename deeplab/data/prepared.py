"""Preparing a data set as TFDS records, once, and reading them."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab.data.builders.folder import Folder
from deeplab.data.classes import Color
from deeplab.data.datasets import DATASETS
from deeplab.data.records import RecordTable
from deeplab.data.source import find_split
from deeplab.data.spec import DatasetSpec
from deeplab.errors import DeepLabError, unknown_name
from deeplab.files import make_directory, missing_folders, remove_empty

_UNDECODED = {"image": tfds.decode.SkipDecoding(), "label": tfds.decode.SkipDecoding()}


class PreparedDataset:
    """A data set whose records lie ready to be read.

    Attributes:
        name: its key in `DATASETS`.
        class_names: in order of the ids.
        colors: an RGB colour (0..255) per class.
        ignore_label: the id of pixels without a class: 255, or 65535 if there are more than 255
            classes.
        label_map: what the stored ids 0..255 become; None: they are class ids already.
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
        source_dir: str | None,
        data_dir: str,
    ) -> None:
        """Reads the metadata of a builder that is prepared."""
        self._builder = builder
        self._readers: dict[tuple[str, int, int], RecordReader] = {}
        self.name = spec.name
        self.label_map = spec.label_map
        self.source_dir = source_dir
        self.data_dir = data_dir
        self.splits: dict[str, int] = {
            name: info.num_examples for name, info in builder.info.splits.items()
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
        else:
            self.class_names = spec.class_names
            self.colors = spec.colors
            self.ignore_label = spec.ignore_label

    @property
    def num_classes(self) -> int:
        """The number of classes, without the ignored id."""
        return len(self.class_names)

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
            raise _unknown_split(self.name, wanted, self.splits)
        return found

    def records(self, split: str, order: tf.data.Dataset | None = None) -> tf.data.Dataset:
        """Undecoded records.

        Args:
            split: a split's name or a synonym of it.
            order: int64 numbers of the records to read, any number of times; None for all of
                them once, in their fixed order.

        Returns:
            A data set of {"image": JPEG or PNG file, "label": grey index PNG file, "id": name},
            string scalars.

        Raises:
            DeepLabError: if there is no such split.
        """
        name = self.find_split(split, split)
        if order is None:
            order = tf.data.Dataset.range(self.splits[name])
        return order.map(self.reader(name))

    def reader(self, split: str, part: int = 0, parts: int = 1) -> RecordReader:
        """A function that reads the record of a number inside a graph.

        Args:
            split: a split's name or a synonym of it.
            part: with `parts`: every `parts`-th file from this one on; numbers count its records.
            parts: how many readers share the files of the split.

        Raises:
            DeepLabError: if there is no such split, or it has fewer files than parts.
        """
        name = self.find_split(split, split)
        if (name, part, parts) not in self._readers:
            paths = [os.fspath(path) for path in self._builder.info.splits[name].filepaths]
            if len(paths) < parts:
                raise DeepLabError(
                    f"the split {name!r} of the data set {self.name!r} has {len(paths)} "
                    f"file{'s' if len(paths) > 1 else ''} for {parts} workers; "
                    "DataConfig.shard = 'position' needs no more than one"
                )
            table = RecordTable(paths[part::parts])
            self._readers[name, part, parts] = RecordReader(table, self._builder.info.features)
        return self._readers[name, part, parts]


class RecordReader:
    """Number of a record -> its undecoded features.

    Attributes:
        kept: what is kept in memory of the records, None at first.
    """

    kept: Any = None

    def __init__(self, table: RecordTable, features: tfds.features.FeaturesDict) -> None:
        """Binds the table of the records to the description of what is in them."""
        self._table = table
        self._features = features

    def __len__(self) -> int:
        """The number of records."""
        return len(self._table)

    def __call__(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Reads and parses a record.

        Args:
            index: int64 scalar, 0 <= index < len(self).

        Returns:
            {"image", "label", "id"}, string scalars.
        """
        example = self._features.deserialize_example(self._table.read(index), decoders=_UNDECODED)
        return {key: example[key] for key in ("image", "label", "id")}

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
) -> PreparedDataset:
    """Opens a data set and prepares it first if that has not been done.

    Preparation is atomic: after an error or a kill nothing of it can be taken for the data set.

    Args:
        name: a key of `DATASETS`.
        data_dir: where prepared records lie; None: $TFDS_DATA_DIR, else ~/tensorflow_datasets.
        source_dir: raw files, only ever read.
        splits: what will be asked for; where one is missing nothing is prepared.
        num_classes: how many classes are expected, likewise; None: any number.

    Raises:
        DeepLabError: if the name is unknown, the source cannot be used, it lacks what is expected
            of it, or data_dir cannot be written; a folder that did not exist before does not exist
            after it.
    """
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    spec = DATASETS[name]
    data_dir = _absolute(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    source_dir = _absolute(source_dir) if source_dir else None
    with _quiet_tfds():
        builder = spec.make_builder(data_dir, source_dir)
    if isinstance(builder, Folder) and builder.note:
        print(f"{name}: {builder.note}", flush=True)
    with _quiet_tfds():
        is_prepared = builder.is_prepared()
    if not is_prepared:
        _check_expected(spec, builder, splits, num_classes)
        print(f"preparing the data set {name} in {data_dir} (once)", flush=True)
        _prepare(builder, data_dir)
    with _quiet_tfds():
        # Read back from the disk, as it will be the next time.
        builder = tfds.builder_from_directory(builder.data_path)
    return PreparedDataset(spec, builder, source_dir=source_dir, data_dir=data_dir)


def _check_expected(
    spec: DatasetSpec,
    builder: tfds.core.DatasetBuilder,
    splits: Iterable[str],
    num_classes: int | None,
) -> None:
    """Refuses, before the work of preparing it, what could not be used afterwards."""
    # What a specification leaves out is known once the data set is prepared.
    known: Iterable[str] = spec.split_sizes
    classes = len(spec.class_names) if spec.class_names else None
    if isinstance(builder, Folder):
        known, classes = builder.source.splits, len(builder.source.classes.names)
    for split in splits:
        if known and find_split(split, known) is None:
            raise _unknown_split(spec.name, split, known)
    if None not in (num_classes, classes) and num_classes != classes:
        raise DeepLabError(
            f"num_classes is {num_classes}, but the data set {spec.name!r} has {classes} classes; "
            "NUM_CLASSES = None takes them from the data set"
        )


def _unknown_split(name: str, split: str, splits: Iterable[str]) -> DeepLabError:
    return DeepLabError(f"data set {name!r}: {unknown_name('split', split, splits)}")


def _prepare(builder: tfds.core.DatasetBuilder, data_dir: str) -> None:
    is_local = "://" not in data_dir
    made = missing_folders(builder.data_path) if is_local else []
    try:
        if is_local:
            make_directory(data_dir)
        # TFDS makes a folder for downloads even if there are none: not in data_dir.
        with _quiet_tfds(), tempfile.TemporaryDirectory() as downloads:
            builder.download_and_prepare(
                download_dir=downloads,
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
    except BaseException as error:
        if isinstance(error, OSError) and builder.is_prepared():
            return  # another process was faster
        remove_empty(made)
        if isinstance(error, OSError):
            raise DeepLabError(f"cannot prepare the data set in {data_dir}: {error}") from error
        raise


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Keeps TFDS from printing, warning of custom configurations, and drawing bars into pipes."""
    logger = logging.getLogger("absl")
    level = logger.level
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _absolute(path: str) -> str:
    # Remote file systems (gs://) have no working directory to be relative to.
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))
