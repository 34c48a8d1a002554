"""Errors that name the record which cannot be read.

TensorFlow says that some JPEG is invalid, not which one. A damaged file is rare and ends the run
anyway, so nothing is spent on it while reading: when an error arrives, the records are read again,
one by one, until one fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import tensorflow as tf

from deeplab.data.files.decode import decode_image, decode_label
from deeplab.data.prepared.dataset import PreparedDataset
from deeplab.errors import DeepLabError

_DAMAGED = (tf.errors.InvalidArgumentError, tf.errors.DataLossError, tf.errors.OutOfRangeError)


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
        try:
            label = decode_label(record["label"], dataset.label_map)
        except tf.errors.OpError as error:
            return f"the label of the record {name!r} cannot be decoded ({_reason(error)})"
        try:
            image = decode_image(record["image"], dataset.input_channels)
        except tf.errors.OpError as error:
            return f"the image of the record {name!r} cannot be decoded ({_reason(error)})"
        if image.shape[:2] != label.shape:
            image_size, label_size = ("x".join(map(str, x.shape[:2])) for x in (image, label))
            return (
                f"the image of the record {name!r} has {image_size} pixels and its label "
                f"{label_size}"
            )
    return None


def _reason(error: tf.errors.OpError) -> str:
    return error.message.splitlines()[0].split("}} ")[-1].split(" [Op:")[0].strip()
