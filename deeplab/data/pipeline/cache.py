"""What a record holds, ready to be augmented: from the disk, or from memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import psutil
import tensorflow as tf

from deeplab.data.config import DataConfig
from deeplab.data.files.decode import decode_image_part, decode_stored_label, image_size
from deeplab.data.pipeline.resampling import ReadPart
from deeplab.data.prepared.dataset import PreparedDataset, RecordReader
from deeplab.errors import DeepLabError

_GIGABYTE = 1e9
_AUTOMATIC_SHARE = 4  # of the memory that is free, a cache that nobody asked for takes a 4th part
_CORES = os.cpu_count() or 1
_ALIGNMENT = 64  # TensorFlow shares memory with a slice that begins at a multiple of so many bytes


Sizes = npt.NDArray[np.int64]

# (number, static shape) -> the array of that number.
_ReadPixels = Callable[[tf.Tensor, list[int | None]], tf.Tensor]


class Sample(NamedTuple):
    """A labeled image.

    Attributes:
        read_image: gives uint8 [h, w, C] parts of the image.
        label: uint8 or uint16 [H, W] of the ids that are stored.
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
            self._columns = {
                key: _referred_to(tf.constant(column)) for key, column in columns.items()
            }

    def __call__(self, index: tf.Tensor) -> Sample:
        """The sample of a number, inside a graph."""
        record = {key: tf.gather(column(), index) for key, column in self._columns.items()}
        return _sample(record, self._dataset)


class DecodedSamples:
    """Samples whose pixels lie in memory: for small sets."""

    def __init__(self, dataset: PreparedDataset, reader: RecordReader, sizes: Sizes) -> None:
        """Reads and decodes all records.

        Args:
            dataset: what they are of.
            reader: reads them.
            sizes: of the images, in the order of the records.
        """
        self._channels = dataset.input_channels
        images = Pixels(np.dtype(np.uint8), [(*size, self._channels) for size in sizes])
        labels = Pixels(dataset.label_type.as_numpy_dtype, [tuple(size) for size in sizes])
        names = []

        def decode(record: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            sample = _sample(record, dataset)
            size = tf.shape(sample.label)
            return sample.read_image(tf.zeros_like(size), size), sample.label, sample.name

        decoded = _in_parallel(reader.all().map(decode, num_parallel_calls=_CORES))
        for number, (image, label, name) in enumerate(decoded.as_numpy_iterator()):
            images.put(number, image)
            labels.put(number, label)
            names.append(name)
        self._images, self._labels = images.readable(), labels.readable()
        with tf.device("CPU"):
            self._names = tf.constant(names)

    def __call__(self, index: tf.Tensor) -> Sample:
        """The sample of a number, inside a graph."""
        image = self._images(index, [None, None, self._channels])
        label = self._labels(index, [None, None])

        def read_image(begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
            return image[begin[0] : end[0], begin[1] : end[1]]

        return Sample(read_image, label, tf.gather(self._names, index))


Samples = StoredSamples | EncodedSamples | DecodedSamples


def open_samples(dataset: PreparedDataset, reader: RecordReader, config: DataConfig) -> Samples:
    """The samples of a reader, kept in memory as the configuration says.

    Raises:
        DeepLabError: if they need more memory than the configuration allows.
    """
    cache, gigabytes = config.cache, config.cache_gigabytes
    if cache == "auto":
        return _decoded_if_small(dataset, reader, gigabytes)
    if cache == "encoded":
        return EncodedSamples(dataset, reader, gigabytes)
    if cache == "decoded":
        sizes = _sizes(dataset, reader)
        _Budget(dataset, reader, cache, gigabytes).take(_bytes(dataset, sizes))
        return DecodedSamples(dataset, reader, sizes)
    return StoredSamples(dataset, reader)


def _decoded_if_small(
    dataset: PreparedDataset, reader: RecordReader, gigabytes: float
) -> StoredSamples | DecodedSamples:
    limit = min(gigabytes * _GIGABYTE, available_memory() / _AUTOMATIC_SHARE)
    # Files are smaller than their pixels: a large set is recognized without being read.
    if reader.stored_bytes <= limit:
        sizes = _sizes(dataset, reader)
        if (needed := _bytes(dataset, sizes)) <= limit:
            print(
                f"keeping the {len(reader):,} images of the training split in memory, decoded "
                f"({needed / _GIGABYTE:.2f} GB)",
                flush=True,
            )
            return DecodedSamples(dataset, reader, sizes)
    return StoredSamples(dataset, reader)


def _sizes(dataset: PreparedDataset, reader: RecordReader) -> Sizes:
    """Heights and widths of all images, int64 [n, 2]; nothing is decoded."""

    def size(record: dict[str, tf.Tensor]) -> tf.Tensor:
        return image_size(record["image"], dataset.input_channels)

    sizes = _in_parallel(reader.all().map(size, num_parallel_calls=_CORES).batch(1024))
    return np.concatenate([*sizes.as_numpy_iterator()]).astype(np.int64)


def _bytes(dataset: PreparedDataset, sizes: Sizes) -> int:
    """What images and labels of these sizes take when they are decoded."""
    return int(sizes.prod(axis=1).sum()) * (dataset.input_channels + dataset.label_type.size)


def _in_parallel(elements: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False
    return elements.with_options(options)


def _sample(record: dict[str, tf.Tensor], dataset: PreparedDataset) -> Sample:
    channels = dataset.input_channels
    label = decode_stored_label(record["label"], dataset.label_type)
    size = tf.shape(label)
    same = tf.debugging.assert_equal(
        image_size(record["image"], channels), size, message="an image and its label differ in size"
    )

    def read_image(begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([same] if same is not None else []):
            return decode_image_part(record["image"], size, begin, end, channels)

    return Sample(read_image, label, record["id"])


class Pixels:
    """Arrays of one type and many shapes, one after the other in one piece of memory."""

    def __init__(self, dtype: npt.DTypeLike, shapes: Sequence[tuple[int, ...]]) -> None:
        """Takes the memory; the system hands it out when something is put there."""
        dtype = np.dtype(dtype)
        self.shapes = shapes
        step = _ALIGNMENT // dtype.itemsize
        ends = np.cumsum([-(-int(np.prod(shape)) // step) * step for shape in shapes])
        self._begins = np.concatenate([[0], ends[:-1]])
        room = np.empty(ends[-1] + step, dtype)
        first = -room.ctypes.data % _ALIGNMENT // dtype.itemsize
        self._flat = room[first : first + ends[-1]]

    def put(self, number: int, array: np.ndarray) -> None:
        """Copies an array to the place of its number."""
        begin = self._begins[number]
        self._flat[begin : begin + array.size].reshape(self.shapes[number])[...] = array

    def readable(self) -> _ReadPixels:
        """Reads what was put, inside a graph; nothing is copied."""
        flat = tf.experimental.dlpack.from_dlpack(self._flat.__dlpack__())
        with tf.device("CPU"):
            begins, shapes = tf.constant(self._begins), tf.constant(self.shapes, tf.int64)
            whole = _referred_to(flat)

        def read(index: tf.Tensor, static_shape: list[int | None]) -> tf.Tensor:
            shape = tf.gather(shapes, index)
            begin = tf.gather(begins, index)
            pixels = tf.reshape(whole()[begin : begin + tf.reduce_prod(shape)], shape)
            pixels.set_shape(static_shape)
            return pixels

        return read


def _referred_to(tensor: tf.Tensor) -> Callable[[], tf.Tensor]:
    """Gives the tensor inside a graph.

    When tf.data rewrites a graph it copies the tensors in it. A variable is only referred to, and
    shares the tensor's memory.
    """
    if tf.distribute.has_strategy():
        return lambda: tensor  # a variable would be made on every replica
    variable = tf.Variable(tensor, trainable=False)
    return variable.value


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


# Limits of a container, as Linux states them: the limit and what is used of it, in bytes.
CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory() -> int:
    """Bytes that are free, or could be made so, on the machine and within the container."""
    available = int(psutil.virtual_memory().available)
    for limit, used in CONTROL_GROUPS:
        try:
            left = int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # no such limit: the file is absent, or says "max"
            continue
        available = min(available, max(left, 0))
    return available
