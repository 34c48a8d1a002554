"""Where the labeled images of an evaluation come from: a data set or two folders."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import tensorflow as tf

from deeplab.data import (
    DATASETS,
    DataConfig,
    NamingBatches,
    PreparedDataset,
    evaluation_batches,
    folder_pairs,
    load_dataset,
)
from deeplab.data.sources.classes import read_class_file
from deeplab.errors import DeepLabError
from deeplab.evaluation.subject import Description


@dataclasses.dataclass(frozen=True)
class LabeledImages:
    """Batches as `evaluate_model` takes them.

    Attributes:
        batches: "image" float32 [B, H, W, C], "label" int32 [B, H, W] and "id" string [B].
        num_images: how many images that are.
        ignore_label: the label id of pixels that do not count.
        dataset: name of the data set; None for folders.
        split: which part of it; None for folders.
        mask_ignored: the ids that mean "no class" in the masks of folders; empty for a data set,
            where preparing has replaced them.
    """

    batches: Iterable[Mapping[str, tf.Tensor]]
    num_images: int
    ignore_label: int
    dataset: str | None = None
    split: str | None = None
    mask_ignored: tuple[int, ...] = ()


def from_folders(
    description: Description,
    images: str | Path,
    labels: str | Path,
    classes: str | Path | None = None,
) -> LabeledImages:
    """The images of a folder with the masks of another.

    Args:
        description: of the model.
        images: folder of the images.
        labels: folder of the masks.
        classes: a class list that says what the masks' ids and colors mean; None: what they meant
            in training.

    Raises:
        DeepLabError: if the folders or the class list cannot be used.
    """
    mask_ignore, mask_colors = description.mask_ignore, description.mask_colors
    if classes is not None:
        listed = read_class_file(Path(classes))
        _check_classes(description, listed.names, str(classes))
        mask_ignore, mask_colors = listed.ignore, listed.colors
    pairs = folder_pairs(
        images,
        labels,
        num_classes=len(description.class_names),
        ignore_label=description.ignore_label,
        mask_ignore=mask_ignore,
        mask_colors=mask_colors,
        channels=description.input_channels,
    )
    return LabeledImages(pairs, len(pairs), description.ignore_label, mask_ignored=pairs.ignored)


def from_data_set(
    description: Description,
    config: DataConfig | None,
    split: str | None,
    *,
    data_dir: str | Path | None,
    source_dir: str | Path | None,
) -> LabeledImages:
    """A split of a data set: the one given, else the one that the model was trained with.

    Args:
        description: of the model.
        config: settings of the data set; None: as trained.
        split: None: that of the settings, else the data set's evaluation split.
        data_dir: prepared data sets; None: as trained.
        source_dir: raw files; None: as trained, if it is the same data set.

    Raises:
        DeepLabError: if there is no data set, or it does not fit the model.
    """
    trained = description.training or {}
    if config is None:
        if "data" not in trained:
            raise DeepLabError(
                "this model was not trained here and knows no data set: give --images and "
                "--labels, or a --gin_file of a data set"
            )
        config = DataConfig(**trained["data"])
    if source_dir is None and trained and trained["data"]["dataset"] == config.dataset:
        source_dir = trained["source_dir"]
    if data_dir is None and trained:
        data_dir = trained["data_dir"]
    dataset = load_dataset(
        config.dataset,
        data_dir=None if data_dir is None else str(data_dir),
        source_dir=None if source_dir is None else str(source_dir),
        splits=(split or config.eval_split or DATASETS[config.dataset].eval_split,),
    )
    _check_channels(description, dataset)
    split = dataset.find_split(split or config.eval_split, dataset.eval_split)
    batches = evaluation_batches(dataset, config, split)
    if _has_other_first(description, dataset):
        batches = batches.map(partial(_after_other, ignore_label=dataset.ignore_label))
    else:
        _check_classes(description, dataset.class_names, f"the data set {dataset.name}")
    return LabeledImages(
        NamingBatches(batches, dataset, split),
        dataset.splits[split],
        dataset.ignore_label,
        dataset.name,
        split,
    )


def _has_other_first(description: Description, dataset: PreparedDataset) -> bool:
    """Whether the model has a class 0 that no label names, before those of the data set.

    The original's models for ADE20K are so, if their import keeps all outputs.
    """
    first, *rest = description.class_names
    return first not in dataset.class_names and tuple(rest) == dataset.class_names


def _after_other(batch: dict[str, tf.Tensor], *, ignore_label: int) -> dict[str, tf.Tensor]:
    label = batch["label"]
    return {**batch, "label": tf.where(label == ignore_label, label, label + 1)}


def _check_channels(description: Description, dataset: PreparedDataset) -> None:
    ours, theirs = description.input_channels, dataset.input_channels
    if ours != theirs:
        raise DeepLabError(
            f"the model takes images of {ours} channels and those of the data set {dataset.name} "
            f"have {theirs}"
        )


def _check_classes(description: Description, theirs: Sequence[str], where: str) -> None:
    ours = description.class_names
    if len(ours) != len(theirs):
        raise DeepLabError(f"the model has {len(ours)} classes and {where} has {len(theirs)}")
    different = [index for index in range(len(ours)) if ours[index] != theirs[index]]
    if different:
        first = different[0]
        print(
            f"warning: {len(different)} classes have other names in {where}, "
            f"the first is {first}: {ours[first]!r} in the model, {theirs[first]!r} there",
            file=sys.stderr,
        )
