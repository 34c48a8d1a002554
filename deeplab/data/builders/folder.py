"""The data set `folder` as a TFDS builder: images and index masks that somebody collected."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from deeplab.data.builders.beam import Encode, beam_examples
from deeplab.data.colors import IGNORE_LABEL, default_colors
from deeplab.data.files.images import png, read_image
from deeplab.data.files.mask_ids import IdRule
from deeplab.data.files.masks import examine_mask, mask_bytes
from deeplab.data.sources.folder import LAYOUT, scan_folder
from deeplab.data.sources.lists import scan_list
from deeplab.data.sources.pair_tally import PairTally, judge
from deeplab.data.sources.pairs import TRAINING, Pair, Source, check_sizes, find_split
from deeplab.data.spec import DatasetSpec, FromSource
from deeplab.progress import warn

# Pairs that are being read or wait to be written, per thread.
_AHEAD = 16

_LIST_SUFFIXES = (".csv", ".jsonl")


class Folder(tfds.core.GeneratorBasedBuilder):
    """Builder of `folder`; records are in the order of their ids.

    Features: "image" JPEG or PNG with three channels (the file's own bytes where possible), or a
    gray PNG that holds more (`deeplab.data.files.images`), "label" gray PNG of class ids, 8 bit
    (16 with more than 255 classes), "id".
    The class list is in `info.metadata`: "class_names", "colors", "ignore_label" and
    "channels", which copies of older versions lack: 3.

    Attributes:
        source: what is stored.
        on_beam: whether the records are made by a pipeline of Apache Beam, and not by a loop here.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "First version.",
        "1.1.0": "Masks are turned as their EXIF orientation says; damaged PNG files are refused.",
    }

    description: ClassVar[str] = "Images and index masks of a source folder."
    citation: ClassVar[str] = ""
    license: ClassVar[str] = "that of the source folder"

    def __init__(self, source: Source, data_dir: str) -> None:
        """Binds the builder to its source.

        Args:
            source: what is to be stored.
            data_dir: the TFDS folder; the copy's own place in it carries the fingerprint.

        Raises:
            FileError: if a file of the source is not there, or no regular file.
        """
        self.source = source
        self.on_beam = False
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
                    "image": tfds.features.Image(shape=(None, None, 3))
                    if classes.channels == 3
                    else tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
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
                channels=classes.channels,
            ),
            # The training order is drawn anew for every epoch; evaluation goes by name.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        source = self.source
        generate = beam_examples if self.on_beam else self._generate_examples
        rule = source.classes.id_rule
        encode = functools.partial(
            encoded_pair, rule=rule, stored_ids=source.stored_ids, channels=source.classes.channels
        )
        tallies: dict[str, Any] = {}
        last = list(source.splits)[-1]
        return {
            split: generate(
                pairs, encode, rule, split, tallies, where=source.path if split == last else None
            )
            for split, pairs in source.splits.items()
        }

    def _generate_examples(
        self,
        pairs: Sequence[Pair],
        encode: Encode,
        rule: IdRule,
        split: str,
        tallies: dict[str, Any],
        *,
        where: Path | None,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the number of each pair and its features, in order; arguments of `beam_examples`.

        Raises:
            DeepLabError: if a file cannot be used, or the masks teach nothing.
        """
        tally = PairTally()
        threads = os.cpu_count() or 1
        rest = iter(pairs)
        number = itertools.count()
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            while batch := list(itertools.islice(rest, threads * _AHEAD)):
                for features, of_pair in pool.map(encode, batch):
                    tally = PairTally.total([tally, of_pair])
                    yield next(number), features
        tallies[split] = tally
        if where is not None:
            total = PairTally.total(tallies.values())
            training = find_split(TRAINING, tallies)
            of_training = None if training is None else tallies[training]
            for remark in judge(total, rule, where, training, of_training):
                warn(remark)


def encoded_pair(
    pair: Pair,
    rule: IdRule,
    stored_ids: Mapping[int, int] | None = None,
    channels: int = 3,
) -> tuple[dict[str, Any], PairTally]:
    """Reads, checks and encodes a pair.

    Args:
        pair: the files.
        rule: which class ids there may be.
        stored_ids: class id of each id that the mask may hold; None: it holds class ids.
        channels: of the image.

    Returns:
        The features "image" and "label" (bytes of files), "id", and the tally of the pair.

    Raises:
        DeepLabError: if a file is unreadable, has ids that are no classes, or if image and mask
            differ in size.
    """
    image = read_image(pair.image, channels)
    mask = examine_mask(mask_bytes(pair.label), pair.label, rule, stored_ids)
    label, ids = rule.labels(mask.ids, pair.label)
    check_sizes(pair, (image.height, image.width), label.shape)
    tally = PairTally.of(ids, image_is_turned=image.is_turned, mask_is_turned=mask.is_turned)
    return {"image": image.data, "label": png(label), "id": pair.id}, tally


def _scan(path: Path) -> Source:
    return (scan_list if path.suffix.lower() in _LIST_SUFFIXES else scan_folder)(path)


SPEC = DatasetSpec(
    name=Folder.name,
    make_builder=FromSource(Folder, _scan),
    class_names=None,
    colors=None,
    description=Folder.description,
    license=Folder.license,
    how_to_get=(
        f"pass --source_dir=DIR with {LAYOUT}; or a .csv or .jsonl list with image, label "
        "and optional split, beside such a class list"
    ),
    needs_source_dir=True,
)
