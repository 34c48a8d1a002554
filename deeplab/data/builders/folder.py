"""The data set `folder` as a TFDS builder: images and index masks that somebody collected."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from deeplab.data.classes import IGNORE_LABEL, default_colors
from deeplab.data.image_files import read_image
from deeplab.data.index_masks import (
    IdRule,
    check_something_to_learn,
    encode_label,
    read_index_mask,
)
from deeplab.data.source import Pair, Source, check_sizes

# Pairs that are being read or wait to be written, per thread.
_AHEAD = 16


class Folder(tfds.core.GeneratorBasedBuilder):
    """Builder of `folder`; records are in the order of their ids.

    Features: "image" JPEG or PNG with three channels (the file's own bytes where possible),
    "label" grey PNG of class ids, 8 bit (16 with more than 255 classes), "id".
    The class list is in `info.metadata`: "class_names", "colors", "ignore_label".

    Attributes:
        source: what is stored.
        note: what the user should be told about the source, or "".
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}

    description: ClassVar[str] = "Images and index masks of a source folder."
    citation: ClassVar[str] = ""
    license: ClassVar[str] = "that of the source folder"

    def __init__(self, source: Source, data_dir: str) -> None:
        """Binds the builder to its source.

        Args:
            source: what is to be stored.
            data_dir: the TFDS folder; the copy's own place in it carries the fingerprint.

        Raises:
            DeepLabError: if a file of the source has vanished.
        """
        self.source = source
        self.note = source.note
        super().__init__(
            data_dir=data_dir,
            config=tfds.core.BuilderConfig(
                name=source.fingerprint(), version=self.VERSION, description=str(source.path)
            ),
        )

    def _info(self) -> tfds.core.DatasetInfo:
        classes = self.source.classes
        wide = classes.ignore_label > IGNORE_LABEL
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.description,
            citation=self.citation or None,
            license=self.license,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.LabeledImage(
                        labels=list(classes.names),
                        shape=(None, None, 1),
                        dtype=np.uint16 if wide else np.uint8,
                        encoding_format="png",
                    ),
                    "id": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(
                class_names=classes.names,
                ignore_label=classes.ignore_label,
                colors=classes.colors or default_colors(len(classes.names)),
            ),
            # The training order is drawn anew for every epoch; evaluation goes by name.
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        ids: set[int] = set()
        last = list(self.source.splits)[-1]
        return {
            split: self._generate_examples(pairs, ids, is_last=split == last)
            for split, pairs in self.source.splits.items()
        }

    def _generate_examples(
        self, pairs: Sequence[Pair], ids: set[int], *, is_last: bool
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the number of each pair and its features, in order.

        Args:
            pairs: what a split holds.
            ids: collects the ids of all masks of all splits.
            is_last: whether this is the last split, after which the ids are judged.

        Raises:
            DeepLabError: if a file cannot be used, or the masks teach nothing.
        """
        rule = IdRule.of(self.source.classes)
        threads = os.cpu_count() or 1
        rest = iter(pairs)
        number = itertools.count()
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            while batch := list(itertools.islice(rest, threads * _AHEAD)):
                for features, found in pool.map(encoded_pair, batch, itertools.repeat(rule)):
                    ids |= found
                    yield next(number), features
        if is_last:
            check_something_to_learn(ids, rule, self.source.path)


def encoded_pair(pair: Pair, rule: IdRule) -> tuple[dict[str, Any], frozenset[int]]:
    """Reads, checks and encodes a pair.

    Returns:
        The features "image" and "label" (bytes of files), "id", and the ids that the mask holds.

    Raises:
        DeepLabError: if a file is unreadable, has ids that are no classes, or if image and mask
            differ in size.
    """
    image = read_image(pair.image)
    label, ids = rule.labels(read_index_mask(pair.label, rule.colors), pair.label)
    check_sizes(pair, (image.height, image.width), label.shape)
    return {"image": image.data, "label": encode_label(label), "id": pair.id}, ids
