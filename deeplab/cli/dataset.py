"""`deeplab dataset prepare | check | stats`: the data, before anything is trained on it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from deeplab.cli import shared_flags
from deeplab.cli.command import Command, UsageError
from deeplab.cli.quiet import import_tensorflow
from deeplab.errors import DeepLabError

if TYPE_CHECKING:
    from deeplab.data.checking import CheckResult

_OWN_IMAGES = ("images", "labels", "classes")


_DATA = (
    *shared_flags.GIN,
    shared_flags.path(
        "images", "folder of images, instead of --gin_file: with --labels and --classes"
    ),
    shared_flags.path("labels", "folder of the masks that belong to --images"),
    shared_flags.path(
        "classes",
        "classes.json, or a text file with one class name per line, in the order of the ids, or "
        "the class list of labelme, CVAT, Roboflow or YOLO",
    ),
    *shared_flags.DATA,
)


def _require_data(values: flags.FlagValues) -> None:
    """Makes sure that the flags name one data set.

    Raises:
        UsageError: if they name none or two.
    """
    shared_flags.require_one_of(values, ["gin_file", "images"])
    shared_flags.require_together(values, *_OWN_IMAGES)
    if values.images:
        for name in ("source_dir", "gin_bindings"):
            if values[name].value:
                raise UsageError(f"flag --{name} does not go with --images")


def _prepare(values: flags.FlagValues) -> int:
    _require_data(values)
    if values.output_dir and not values.images:
        raise UsageError("flag --output_dir needs --images")
    beam_flags = _beam_flags(values.beam_options)
    import_tensorflow(verbose=values.v > 0)
    from deeplab.configuration import read_data_config
    from deeplab.data import load_dataset
    from deeplab.data.checking import prepare_folders

    data_dir = values.data_dir
    if values.images:
        output_dir = values.output_dir or os.path.abspath("dataset_list")
        shared_flags.require_writable(output_dir)
        dataset = prepare_folders(
            *_own_images(values), Path(output_dir), data_dir=data_dir, beam_flags=beam_flags
        )
    else:
        config = read_data_config(values.gin_file, values.gin_bindings)
        dataset = load_dataset(
            config.dataset,
            data_dir=data_dir,
            source_dir=values.source_dir,
            splits=config.named_splits,
            beam_flags=beam_flags,
        )
    dataset.open_all()  # a copy that was prepared long ago may have been damaged since
    print(f"{dataset.name}: {dataset.num_classes} classes: {', '.join(dataset.class_names)}")
    for split, size in dataset.splits.items():
        print(f"  {split}: {size} images")
    if values.images:
        known = "" if data_dir is None else f" --data_dir={data_dir}"
        print(
            "train on it with\n  deeplab train --gin_file=runs/folder_mobilenet_v2.gin "
            f"--source_dir={output_dir}/list.jsonl{known} --model_dir=DIR"
        )
    return 0


def _beam_flags(options: str | None) -> list[str] | None:
    """The words of `--beam_options`.

    Raises:
        UsageError: if a quotation mark in it has no partner.
    """
    try:
        return None if options is None else shlex.split(options)
    except ValueError as error:
        reason = str(error)[0].lower() + str(error)[1:]
        raise UsageError(f"flag --beam_options={options}: {reason}") from error


def _check(values: flags.FlagValues) -> int:
    _require_data(values)
    output_dir = values.output_dir or os.path.abspath("dataset_check")
    shared_flags.require_writable(output_dir)
    result, _ = _checked(values)
    from deeplab.data.checking import render_check, write_check

    print(render_check(result), end="", flush=True)
    write_check(result, Path(output_dir))
    print(f"wrote {output_dir}/report.html and check.json")
    return 0 if result.ok else 1


def _stats(values: flags.FlagValues) -> int:
    _require_data(values)
    if values.output_dir:
        shared_flags.require_writable(values.output_dir)
    result, split = _checked(values)
    from deeplab.data.checking import (
        class_weights,
        known_split,
        render_statistics,
        weights_binding,
    )
    from deeplab.data.files.problems import refuse
    from deeplab.files import make_directory, write_text

    # Counting one split does not suffer from what another one shares with it.
    refuse([item for item in result.problems if item.kind != "duplicate_across_splits"])
    split = known_split(result, split)
    binding = weights_binding(class_weights(result.splits[split]))
    print(render_statistics(result, split), end="")
    print(f"median frequency class weights, for a gin file:\n{binding}")
    if values.output_dir:
        file = make_directory(values.output_dir) / "class_weights.gin"
        title = " ".join(result.title.split())  # a comment is one line
        write_text(
            file, f"# Median frequency class weights of {title}, split {split}.\n{binding}\n"
        )
        print(f"wrote {file}")
    return 0


def _checked(values: flags.FlagValues) -> tuple[CheckResult, str]:
    """Reads everything; also the name of the split to train on."""
    import_tensorflow(verbose=values.v > 0)
    from deeplab.configuration import read_data_config
    from deeplab.data import DATASETS
    from deeplab.data.checking import check_folders, check_named

    if values.images:
        return check_folders(*_own_images(values)), "train"
    config = read_data_config(values.gin_file, values.gin_bindings)
    result = check_named(
        config,
        data_dir=values.data_dir,
        source_dir=values.source_dir,
    )
    return result, config.train_split or DATASETS[config.dataset].train_split


def _own_images(values: flags.FlagValues) -> tuple[Path, Path, Path]:
    for name in _OWN_IMAGES:
        if "://" in values[name].value:
            raise DeepLabError(f"flag --{name}={values[name].value}: it must be on a disk")
    images, labels, classes = (Path(values[name].value) for name in _OWN_IMAGES)
    for folder in (images, labels):
        if not folder.is_dir():
            raise DeepLabError(f"no folder {folder}")
    return images, labels, classes


PREPARE = Command(
    name="dataset prepare",
    summary="Prepares a data set for training, which else happens when it is first used.",
    example=(
        "deeplab dataset prepare --gin_file=runs/folder_mobilenet_v2.gin --source_dir=my_images"
    ),
    own_flags=(
        *_DATA,
        shared_flags.word(
            "beam_options",
            "options of Apache Beam, which then prepares the source folder (needed above a million "
            'images), such as "--runner=DirectRunner --direct_num_workers=8"',
        ),
        shared_flags.path(
            "output_dir",
            "with --images: folder that list.jsonl and classes.json are written to, for "
            "--source_dir of the other commands (without it ./dataset_list)",
        ),
    ),
    run=_prepare,
)
CHECK = Command(
    name="dataset check",
    summary=(
        "Reads every image and mask and lists what is wrong with them; exits with 1 if training "
        "would be wrong."
    ),
    example="deeplab dataset check --images=photos --labels=masks --classes=classes.txt",
    own_flags=(
        *_DATA,
        shared_flags.path(
            "output_dir", "folder of report.html and check.json (without it ./dataset_check)"
        ),
    ),
    run=_check,
)
STATS = Command(
    name="dataset stats",
    summary="Counts the pixels of every class in the training split and proposes class weights.",
    example=(
        "deeplab dataset stats --gin_file=runs/folder_mobilenet_v2.gin --source_dir=my_images"
    ),
    own_flags=(
        *_DATA,
        shared_flags.path(
            "output_dir",
            "folder that class_weights.gin is written to; without it, none is",
        ),
    ),
    run=_stats,
)
