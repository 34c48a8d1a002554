"""`deeplab dataset prepare`: turns raw images and labels into records."""

from __future__ import annotations

import shlex

from absl import flags

from deeplab.cli import shared_flags
from deeplab.cli.command import Command
from deeplab.cli.quiet import import_tensorflow


def _define(values: flags.FlagValues) -> None:
    shared_flags.define_gin(values)
    shared_flags.define_data(values)
    flags.DEFINE_string(
        "beam_options",
        None,
        "options of Apache Beam, which then prepares the source folder (needed above a million "
        'images), such as "--runner=DirectRunner --direct_num_workers=8"',
        flag_values=values,
    )


def _run(values: flags.FlagValues) -> int:
    import_tensorflow(verbose=values.v > 0)
    from deeplab.configuration import read_data_config
    from deeplab.data import load_dataset

    config = read_data_config(values.gin_file, values.gin_bindings)
    dataset = load_dataset(
        config.dataset,
        data_dir=shared_flags.optional_path(values.data_dir),
        source_dir=shared_flags.optional_path(values.source_dir),
        beam_flags=None if values.beam_options is None else shlex.split(values.beam_options),
    )
    print(f"{dataset.name}: {dataset.num_classes} classes: {', '.join(dataset.class_names)}")
    for split, size in dataset.splits.items():
        print(f"  {split}: {size} images")
    return 0


PREPARE = Command(
    name="dataset prepare",
    summary="Prepares a data set for training, which else happens when it is first used.",
    example=(
        "deeplab dataset prepare --gin_file=runs/folder_mobilenet_v2.gin --source_dir=my_images"
    ),
    define=_define,
    run=_run,
    required=("gin_file",),
)
