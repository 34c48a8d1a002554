"""What a record holds, ready to be augmented: from the disk, or from memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.data.config import DataConfig
from deeplab.data.decode import decode_image, decode_image_part, decode_label, image_size
from deeplab.data.prepared import PreparedDataset, RecordReader
from deeplab.data.resampling import ReadPart
from deeplab.errors import DeepLabError

_GIGABYTE = 1e9
_ALIGNMENT = 64  # TensorFlow shares memory with a slice that begins at a multiple of so many bytes


class Sample(NamedTuple):
    """A labelled image.

    Attributes:
        read_image: gives uint8 [h, w, C] parts of the image.
        label: int32 [H, W].
        name: string scalar, the record's id.
    """

    read_image: ReadPart
    label: tf.Tensor
    name: tf.Tensor


class StoredSamples:
    """Samples that are read from the disk and decoded each time, little more than what is used."""

    def __init__(self, dataset: PreparedDataset, reader: RecordReader) -> None:
        """Reads nothing yet."""
        self._read = reader
        self._dataset = dataset

    def __call__(self, index: tf.Tensor) -> Sample:
        """The sample of a number, inside a graph."""
        return _sample(self._read(index), self._dataset)


class EncodedSamples:
    """Samples whose files lie in memory: for data that is far away."""

    def __init__(self, dataset: PreparedDataset, reader: RecordReader, limit: float) -> None:
        """Reads all records, at most `limit` gigabytes."""
        self._dataset = dataset
        budget = _Budget(dataset, reader, "encoded", limit)
        columns: dict[str, list[bytes]] = {"image": [], "label": [], "id": []}
        for record in reader.all().as_numpy_iterator():
            budget.take(sum(len(record[key]) for key in columns))
            for key, column in columns.items():
                column.append(record[key])
        with tf.device("CPU"):
            self._columns = {key: tf.constant(column) for key, column in columns.items()}

    def __call__(self, index: tf.Tensor) -> Sample:
        """The sample of a number, inside a graph."""
        record = {key: tf.gather(column, index) for key, column in self._columns.items()}
        return _sample(record, self._dataset)


class DecodedSamples:
    """Samples whose pixels lie in memory: for small sets."""

    def __init__(self, dataset: PreparedDataset, reader: RecordReader, limit: float) -> None:
        """Reads and decodes all records, at most `limit` gigabytes."""
        budget = _Budget(dataset, reader, "decoded", limit)
        images, labels, names = [], [], []
        for record in reader.all():
            sample = _sample(record, dataset)
            label = sample.label.numpy()
            labels.append(label.astype(np.uint8 if label.max() < 256 else np.uint16))
            images.append(decode_image(record["image"], dataset.input_channels).numpy())
            budget.take(images[-1].nbytes + labels[-1].nbytes)
            names.append(record["id"].numpy())
        self._channels = dataset.input_channels
        wide = np.result_type(*labels)
        with tf.device("CPU"):
            self._images = _Pixels(images)
            self._labels = _Pixels([label.astype(wide) for label in labels])
            self._names = tf.constant(names)

    def __call__(self, index: tf.Tensor) -> Sample:
        """The sample of a number, inside a graph."""
        image = self._images.read(index, [None, None, self._channels])
        label = tf.cast(self._labels.read(index, [None, None]), tf.int32)

        def read_image(begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
            return image[begin[0] : end[0], begin[1] : end[1]]

        return Sample(read_image, label, tf.gather(self._names, index))


Samples = StoredSamples | EncodedSamples | DecodedSamples


def open_samples(dataset: PreparedDataset, reader: RecordReader, config: DataConfig) -> Samples:
    """The samples of a reader, kept in memory as the configuration says.

    Raises:
        DeepLabError: if they need more memory than the configuration allows.
    """
    kept = reader.kept
    if config.cache == "encoded" and not isinstance(kept, EncodedSamples):
        reader.kept = EncodedSamples(dataset, reader, config.cache_gigabytes)
    elif config.cache == "decoded" and not isinstance(kept, DecodedSamples):
        reader.kept = DecodedSamples(dataset, reader, config.cache_gigabytes)
    elif config.cache == "none":
        reader.kept = StoredSamples(dataset, reader)
    return reader.kept


def _sample(record: dict[str, tf.Tensor], dataset: PreparedDataset) -> Sample:
    channels = dataset.input_channels
    label = decode_label(record["label"], dataset.label_map)
    size = tf.shape(label)
    same = tf.debugging.assert_equal(
        image_size(record["image"], channels), size, message="an image and its label differ in size"
    )

    def read_image(begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([same] if same is not None else []):
            return decode_image_part(record["image"], size, begin, end, channels)

    return Sample(read_image, label, record["id"])


class _Pixels:
    """Arrays of one type and many shapes, one after the other in one tensor."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        step = _ALIGNMENT // arrays[0].itemsize
        ends = np.cumsum([-(-array.size // step) * step for array in arrays])
        flat = np.zeros(ends[-1], arrays[0].dtype)
        begins = np.concatenate([[0], ends[:-1]])
        for begin, array in zip(begins, arrays, strict=True):
            flat[begin : begin + array.size] = array.ravel()
        self._flat = tf.constant(flat)
        self._begins = tf.constant(begins, tf.int64)
        self._shapes = tf.constant([array.shape for array in arrays], tf.int64)

    def read(self, index: tf.Tensor, static_shape: list[int | None]) -> tf.Tensor:
        shape = tf.gather(self._shapes, index)
        begin = tf.gather(self._begins, index)
        pixels = tf.reshape(self._flat[begin : begin + tf.reduce_prod(shape)], shape)
        pixels.set_shape(static_shape)
        return pixels


class _Budget:
    """Counts bytes, and refuses what is too much."""

    def __init__(
        self, dataset: PreparedDataset, reader: RecordReader, cache: str, limit: float
    ) -> None:
        self._text = (
            f"the {len(reader)} images of the data set {dataset.name!r} need more than "
            f"{limit:g} gigabytes of memory with DataConfig.cache = {cache!r}: raise "
            "DataConfig.cache_gigabytes, or leave the cache at 'none'"
        )
        self._left = limit * _GIGABYTE

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise DeepLabError(self._text)
