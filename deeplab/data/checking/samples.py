"""What is looked at: the pairs of a source, or the records of a prepared data set."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection
from pathlib import Path

import tensorflow as tf

from deeplab.data.files.opening import read_bytes
from deeplab.data.files.pixels import RGB
from deeplab.data.files.problems import FileError, Problem
from deeplab.data.prepared.dataset import PreparedDataset
from deeplab.data.sources.pairs import SPLIT_NAMES, Pair, Source


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image and its mask, not read yet.

    Attributes:
        split: what it belongs to.
        pair: its id and where it lies; for records both paths are DATA SET/SPLIT/ID, and the id
            is the record's number until it is identified.
        image: reads the bytes of the image file; OSError or FileError.
        label: reads the bytes of the mask file, likewise.
        channels: of the image.
        read_id: reads the id in UTF-8, OSError or FileError; None if `pair` has it.
    """

    split: str
    pair: Pair
    image: Callable[[], bytes]
    label: Callable[[], bytes]
    channels: int = RGB
    read_id: Callable[[], bytes] | None = None

    def identified(self) -> Sample:
        """The same under the id that is in its record.

        Raises:
            FileError, OSError: if the record cannot be read.
        """
        if self.read_id is None:
            return self
        name = self.read_id().decode(errors="replace")
        place = self.pair.image.parent / name.removeprefix(f"{self.split}/")
        return dataclasses.replace(self, pair=Pair(name, place, place), read_id=None)


def samples_of_source(source: Source) -> list[Sample]:
    """The pairs of all splits in their order."""
    return [
        Sample(
            split,
            pair,
            functools.partial(read_bytes, pair.image),
            functools.partial(read_bytes, pair.label),
            source.classes.channels,
        )
        for split, pairs in source.splits.items()
        for pair in pairs
    ]


def samples_of_records(dataset: PreparedDataset) -> list[Sample]:
    """The records of all splits in their order; their images have three channels.

    A record is known by its number until it is read, for its id is in it.
    """
    samples = []
    for split, size in dataset.splits.items():
        reader = dataset.reader(split)
        read = tf.function(reader, input_signature=[tf.TensorSpec([], tf.int64)])
        for number in range(size):
            name = f"record {number}"
            place = Path(dataset.name, split, name)
            image, label, id_ = (
                functools.partial(_feature, read, number, place, key)
                for key in ("image", "label", "id")
            )
            samples.append(Sample(split, Pair(name, place, place), image, label, read_id=id_))
    return samples


def _feature(
    read: Callable[..., dict[str, tf.Tensor]], number: int, place: Path, key: str
) -> bytes:
    try:
        return bytes(read(tf.constant(number, tf.int64))[key].numpy())
    except tf.errors.DataLossError as error:
        why = "is damaged (wrong checksum)"
        raise FileError(Problem("unreadable", place, why), f"{place} {why}") from error


class Duplicates:
    """Remembers the content of every image and in which splits it was seen.

    A file may well be in several lists, such as train and trainval. It must not be in two splits
    of which one trains and the other measures: those named train, val or test (or a synonym), and
    those that the settings name. Under another id the same content is always wrong.
    """

    def __init__(self, disjoint: Collection[str]) -> None:
        """Names the splits that must not share images, besides train, val and test."""
        self._disjoint = SPLIT_NAMES.union(disjoint)
        self._seen: dict[bytes, dict[str, Sample]] = {}

    def add(self, image_hash: bytes, sample: Sample) -> Problem | None:
        """Notes an image; a problem if it is in an earlier split too."""
        seen = self._seen.setdefault(image_hash, {})
        seen.setdefault(sample.split, sample)
        for split, other in seen.items():
            if split != sample.split and not self._may_share(sample, other):
                return Problem(
                    "duplicate_across_splits",
                    sample.pair.image,
                    f"of the split {sample.split} is the same image as {other.pair.image} of "
                    f"{split}: keep it in one of them",
                )
        return None

    def _may_share(self, one: Sample, other: Sample) -> bool:
        both_disjoint = one.split in self._disjoint and other.split in self._disjoint
        return one.pair.id == other.pair.id and not both_disjoint
