"""Naming the damaged record of a prepared data set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import tensorflow as tf

from deeplab.data.prepared import PreparedDataset
from deeplab.errors import DeepLabError


@contextlib.contextmanager
def damaged_records_named(dataset: PreparedDataset) -> Iterator[None]:
    """Work on a data set's batches; a record that cannot be read becomes one clear line.

    TensorFlow's own error names neither the data set nor the record. They are searched for when
    it has happened: all records are read again until one fails.

    Raises:
        DeepLabError: instead of an error of TensorFlow, if a record is damaged.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        found = _first_damaged(dataset)
        if found is None:
            raise
        split, number = found
        raise DeepLabError(
            f"record {number} of the split {split} of the data set {dataset.name} in "
            f"{dataset.data_dir} is damaged (wrong checksum): delete the prepared copy "
            f"{dataset.prepared_dir(split)}, and it is prepared again"
        ) from error


class NamedBatches:
    """Batches of a data set, to be iterated any number of times, under `damaged_records_named`."""

    def __init__(
        self, dataset: PreparedDataset, batches: Iterable[Mapping[str, tf.Tensor]]
    ) -> None:
        """Binds the batches to the data set that they are read from."""
        self._dataset = dataset
        self._batches = batches

    def __iter__(self) -> Iterator[Mapping[str, tf.Tensor]]:
        """The batches themselves."""
        with damaged_records_named(self._dataset):
            yield from self._batches


def _first_damaged(dataset: PreparedDataset) -> tuple[str, int] | None:
    """Split and number of a record that cannot be read."""
    for split, size in dataset.splits.items():
        read = tf.function(
            dataset.reader(split), input_signature=[tf.TensorSpec([], tf.int64)], autograph=False
        )
        for number in range(size):
            try:
                read(tf.constant(number, tf.int64))
            except tf.errors.DataLossError:
                return split, number
    return None
