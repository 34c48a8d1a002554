"""Images and masks of two folders, without preparing anything: for a quick evaluation."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from deeplab.data.builders.folder import encoded_pair
from deeplab.data.colors import IGNORE_LABEL, Color
from deeplab.data.files.decode import decode_image, decode_label
from deeplab.data.files.mask_ids import ClassColors, IdRule, check_something_to_measure
from deeplab.data.files.masks import read_index_mask
from deeplab.data.files.problems import refuse
from deeplab.data.sources.pair_tally import PairTally
from deeplab.data.sources.pairs import Pair, match_files
from deeplab.progress import warn

_THREADS = 2


class FolderPairs:
    """Batches of one image each, in the order of their names; it can be iterated repeatedly.

    A batch is what `evaluation_batches` gives: {"image": float32 [1, H, W, C] 0..255, "label":
    int32 [1, H, W], "id": string [1]}. A file that cannot be used raises DeepLabError when its
    turn comes.

    Attributes:
        pairs: what was found.
        ignored: the ids that mean "no class" in the masks.
    """

    def __init__(
        self, pairs: tuple[Pair, ...], rule: IdRule, ignore_label: int, channels: int
    ) -> None:
        """Binds the pairs to the ids that their masks may hold, and the channels of the images."""
        self.pairs = pairs
        self.ignored = rule.ignored
        self._rule = rule
        self._ignore_label = ignore_label
        self._channels = channels

    def __len__(self) -> int:
        """The number of images, and of batches."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[dict[str, tf.Tensor]]:
        """Reads the pairs, a few ahead, and at the end warns where 255 seems to mark objects."""
        rest = iter(self.pairs)
        tallies = []
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            ahead = [pool.submit(self._batch, p) for p in itertools.islice(rest, 2 * _THREADS)]
            while ahead:
                batch, tally = ahead.pop(0).result()
                tallies.append(tally)
                yield batch
                ahead += [pool.submit(self._batch, pair) for pair in itertools.islice(rest, 1)]

        if lost := PairTally.total(tallies).lost_objects(self._rule):
            warn(lost)

    def _batch(self, pair: Pair) -> tuple[dict[str, tf.Tensor], PairTally]:
        features, tally = encoded_pair(pair, self._rule, channels=self._channels)
        label = decode_label(features["label"])
        if self._ignore_label != self._rule.ignore_label:
            label = tf.where(label == self._rule.ignore_label, self._ignore_label, label)
        image = decode_image(features["image"], self._channels)
        batch = {
            "image": tf.cast(image, tf.float32)[None],
            "label": label[None],
            "id": tf.constant([pair.id]),
        }
        return batch, tally


def folder_pairs(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    num_classes: int,
    ignore_label: int = IGNORE_LABEL,
    mask_ignore: int | None = None,
    mask_colors: Sequence[Color] | None = None,
    channels: int = 3,
) -> FolderPairs:
    """Pairs the images and masks of two folders.

    They are paired by their path relative to the folder, without extension.

    Args:
        images: folder with .jpg, .jpeg or .png files, or those that more channels need.
        labels: folder with .png files.
        num_classes: ids of classes are 0..num_classes-1.
        ignore_label: the id of ignored pixels in the batches.
        mask_ignore: the id of ignored pixels in the masks; None: the same.
        mask_colors: the color of each class in masks that hold colors; None: they hold ids.
        channels: of the images.

    Raises:
        DeepLabError: if a folder is missing, there are no images, some have no partner, or the
            masks hold nothing but 0 and 255.
    """
    pairs, problems = match_files(Path(images), Path(labels), channels)
    refuse(problems)
    ignore = ignore_label if mask_ignore is None else mask_ignore
    rule = IdRule(num_classes, ignore, ClassColors(mask_colors))
    # Mostly the first mask is enough to see that they are index masks.
    ids = (rule.labels(read_index_mask(pair.label, rule.colors), pair.label)[1] for pair in pairs)
    check_something_to_measure(ids, rule, Path(labels))
    return FolderPairs(pairs, rule, ignore_label, channels)
