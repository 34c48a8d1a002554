"""Opening a data set by name, which prepares it first if that has not been done."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from deeplab import checks
from deeplab.data.builders import DATASETS
from deeplab.data.builders.folder import Folder
from deeplab.data.files.problems import Problem, refuse
from deeplab.data.prepared.copies import naming_damaged_copies, only_copy, open_copy
from deeplab.data.prepared.dataset import PreparedDataset, unknown_split
from deeplab.data.prepared.paths import data_place, naming_unreachable, source_place
from deeplab.data.prepared.prepare import prepare, quiet_tfds
from deeplab.data.sources.pairs import MissingFiles, Source, find_split
from deeplab.data.spec import DatasetSpec, FromSource, is_prepared
from deeplab.errors import DeepLabError, unknown_name


def load_dataset(
    name: str,
    *,
    data_dir: str | None = None,
    source_dir: str | None = None,
    splits: Iterable[str] = (),
    num_classes: int | None = None,
    input_channels: int | None = None,
    beam_flags: Sequence[str] | None = None,
    may_prepare: bool = True,
) -> PreparedDataset:
    """Opens a data set and prepares it first if that has not been done.

    Preparation is atomic: after an error or a kill nothing of it can be taken for the data set.

    Args:
        name: a key of `DATASETS`.
        data_dir: where prepared records lie; None: $TFDS_DATA_DIR, else ~/tensorflow_datasets.
        source_dir: raw files, only ever read.
        splits: what will be asked for; where one is missing nothing is prepared.
        num_classes: how many classes are expected, likewise; None: any number.
        input_channels: how many channels of the images are expected, likewise; None: any number.
        beam_flags: options of Apache Beam, such as ("--runner=DirectRunner",), on which a source
            folder is then prepared; None: by the threads of this process.
        may_prepare: whether it is prepared if it is not yet; an error else.

    Raises:
        DeepLabError: if the name is unknown, the source cannot be used, it lacks what is expected
            of it, or data_dir cannot be reached or written; a folder that did not exist before does
            not exist after it.
    """
    spec, data_dir, source_dir = _located(name, data_dir, source_dir)
    splits = tuple(splits)
    extra = {split: spec.extra_splits[split] for split in splits if split in spec.extra_splits}
    parts = (spec, *extra.values())
    with naming_unreachable(data_dir):
        # All are found before one is prepared.
        made = [(part, _make_builder(part, data_dir, source_dir)) for part in parts]
        for part, found in made:
            if isinstance(found, Folder):
                refuse(found.source.problems)
                _check_sizes(part, found.source.sizes)
        own_splits = [split for split in splits if split not in extra]
        _check_expected(spec, made[0][1], own_splits, num_classes, input_channels)
        builder, *others = [
            _prepared(part, builder, data_dir, source_dir, beam_flags, may_prepare)
            for part, builder in made
        ]
    _, found = made[0]
    return PreparedDataset(
        spec,
        builder,
        extra=dict(zip(extra, others, strict=True)),
        source=found.source if isinstance(found, Folder) else None,
        source_dir=source_dir,
        data_dir=data_dir,
    )


def _make_builder(
    spec: DatasetSpec, data_dir: str, source_dir: str | None
) -> tfds.core.DatasetBuilder:
    """The builder of a data set: of its source, or of the only prepared copy.

    Raises:
        DeepLabError: if there is neither, or the source is not complete.
    """
    if source_dir is None and spec.needs_source_dir:
        return only_copy(spec, data_dir)
    with quiet_tfds(), _told_how_to_get(spec), naming_damaged_copies(spec, data_dir):
        return spec.make_builder(data_dir, source_dir)


@contextlib.contextmanager
def _told_how_to_get(spec: DatasetSpec) -> Iterator[None]:
    try:
        yield
    except MissingFiles as error:
        raise DeepLabError(f"{error}; to have {spec.name}: {spec.how_to_get}") from error


def _prepared(
    spec: DatasetSpec,
    builder: tfds.core.DatasetBuilder,
    data_dir: str,
    source_dir: str | None,
    beam_flags: Sequence[str] | None,
    may_prepare: bool,
) -> tfds.core.DatasetBuilder:
    if isinstance(builder, Folder) and builder.source.note:
        print(f"{spec.name}: {builder.source.note}", flush=True)
    prepared = is_prepared(builder)
    if not prepared and not may_prepare:
        raise DeepLabError(f"the data set {spec.name!r} is not prepared in {data_dir}")
    if prepared and beam_flags is not None:
        print(f"{spec.name}: prepared already, without effect: --beam_options", flush=True)
    if not prepared:
        print(f"preparing the data set {spec.name} in {data_dir} (once)", flush=True)
        prepare(spec, builder, data_dir=data_dir, source_dir=source_dir, beam_flags=beam_flags)
    # Read back from the disk, as it will be the next time.
    builder = open_copy(spec, builder.data_path)
    _check_sizes(spec, {name: info.num_examples for name, info in builder.info.splits.items()})
    return builder


def find_source(
    name: str, *, data_dir: str | None = None, source_dir: str | None = None
) -> Source | None:
    """The raw files that `load_dataset` would prepare, with all that is wrong with their listing.

    Args:
        name: a key of `DATASETS`.
        data_dir: as of `load_dataset`.
        source_dir: as of `load_dataset`.

    Returns:
        The source, with a problem for each split of another size than published; None if the data
        set is not prepared from pairs of files, or they are not here and a prepared copy is used.

    Raises:
        DeepLabError: if the name is unknown or the source cannot be used.
    """
    spec, data_dir, source_dir = _located(name, data_dir, source_dir)
    if source_dir is None or not isinstance(spec.make_builder, FromSource):
        return None
    # Without a builder, whose place depends on the state of every file.
    with _told_how_to_get(spec):
        source = spec.make_builder.scan(Path(source_dir))
    if source.problems:  # they say why images are missing
        return source
    problems = [
        Problem(
            "missing_image",
            source.path,
            f"split {split} has {found:,} images, {published:,} are published; "
            f"{_all_or_folder(spec)}",
        )
        for split, found, published in _wrong_sizes(spec, source.sizes)
    ]
    return dataclasses.replace(source, problems=tuple(problems))


def _located(
    name: str, data_dir: str | None, source_dir: str | None
) -> tuple[DatasetSpec, str, str | None]:
    """What a name means, and the folders as absolute paths."""
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    data_dir = data_place(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    return DATASETS[name], data_dir, source_place(source_dir) if source_dir else None


def _check_expected(
    spec: DatasetSpec,
    builder: tfds.core.DatasetBuilder,
    splits: Iterable[str],
    num_classes: int | None,
    input_channels: int | None,
) -> None:
    """Refuses, before the work of preparing it, what could not be used afterwards."""
    # What a specification leaves out is known once the data set is prepared.
    known: Iterable[str] = spec.split_sizes
    classes = len(spec.class_names) if spec.class_names else None
    channels = 3 if spec.class_names else None
    if isinstance(builder, Folder):
        known, classes = builder.source.splits, len(builder.source.classes.names)
        channels = builder.source.classes.channels
    for split in splits:
        if known and find_split(split, known) is None:
            raise unknown_split(spec, split, known)
    source = f"the data set {spec.name!r}"
    if classes is not None:
        checks.num_classes(num_classes, classes, source)
    if channels is not None:
        checks.input_channels(input_channels, channels, source)


def _wrong_sizes(spec: DatasetSpec, sizes: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """Splits of another size than published, with the number found and the one published."""
    wrong = []
    for split, found in sizes.items():
        official = find_split(split, spec.split_sizes)
        if official is not None and spec.split_sizes[official] != found:
            wrong.append((split, found, spec.split_sizes[official]))
    return wrong


def _check_sizes(spec: DatasetSpec, sizes: Mapping[str, int]) -> None:
    """Refuses a part of a published data set, which would give numbers that mean nothing."""
    for split, found, published in _wrong_sizes(spec, sizes):
        raise DeepLabError(
            f"{spec.name} has {published:,} images in the split {split!r}, found {found:,}; "
            f"{_all_or_folder(spec)}"
        )


def _all_or_folder(spec: DatasetSpec) -> str:
    return f"a part of it is for the data set 'folder'; to have all: {spec.how_to_get}"
