"""Random access to TFRecord files.

A training order that is drawn anew for every epoch, and a start at any step, need no shuffle
buffer and no skipping when a record can be read by its number. TFDS offers that for ArrayRecord
only; for TFRecord a table of offsets is enough (12 bytes are read per record to make it).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab.errors import DeepLabError

# A TFRecord: length (8 bytes), its checksum (4), the data, the checksum of the data (4).
_FRAME = 16
_LENGTH = struct.Struct("<Q")

_WAY_OUT = "delete its folder, and the data set is prepared again"
_WAY_OUT_OF_LOSS = "bring it back, or move its folder away, and the data set is prepared again"


class RecordTable:
    """Where each record of a list of TFRecord files lies."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Reads the frames of all records.

        Args:
            paths: uncompressed TFRecord files, on any file system that TensorFlow knows.

        Raises:
            DeepLabError: if a file is missing, cannot be read or ends within a record.
        """
        self._paths = list(paths)
        rows = [
            (number, offset, size)
            for number, path in enumerate(paths)
            for offset, size in _frames(path)
        ]
        self._files, self._offsets, self._sizes = np.array(rows, np.int64).reshape(-1, 3).T

    def __len__(self) -> int:
        """The number of records."""
        return len(self._offsets)

    @property
    def num_bytes(self) -> int:
        """The size of all records with their frames."""
        return int(self._sizes.sum())

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Reads a record inside a graph.

        Args:
            index: int64 scalar, 0 <= index < len(self).

        Returns:
            String scalar: the record as it was written, its checksum verified.
        """
        path = tf.gather(self._paths, tf.gather(self._files, index))
        # `tf.data.TFRecordDataset` is this operation without its offset.
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=[path],
            compression_type="",
            buffer_size=tf.gather(self._sizes, index),
            byte_offsets=[tf.gather(self._offsets, index)],
        )
        records = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
        return records.take(1).get_single_element()


def _frames(path: str) -> list[tuple[int, int]]:
    """Offset and size of each record of a file, in bytes with the frame."""
    frames = []
    offset = 0
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            end = file.size()
            while offset < end:
                file.seek(offset)
                head = file.read(_LENGTH.size)
                size = _FRAME + (_LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else end)
                if offset + size > end:
                    raise DeepLabError(
                        f"the record file {path} is damaged at byte {offset} of {end}: {_WAY_OUT}"
                    )
                frames.append((offset, size))
                offset += size
    except tf.errors.NotFoundError as error:
        raise DeepLabError(f"the record file {path} is missing: {_WAY_OUT_OF_LOSS}") from error
    except tf.errors.OpError as error:
        reason = " ".join(error.message.split())
        raise DeepLabError(f"the record file {path} cannot be read: {reason}") from error
    return frames
