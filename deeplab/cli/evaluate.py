"""`deeplab evaluate`: measures a model on labelled images."""

from __future__ import annotations

from absl import flags

from deeplab.cli import shared_flags
from deeplab.cli.command import Command, UsageError
from deeplab.cli.quiet import import_tensorflow


def _define(values: flags.FlagValues) -> None:
    shared_flags.define_model_dir(values, "folder of the run")
    shared_flags.define_checkpoint(values)
    flags.DEFINE_string(
        "split", None, "split of the data set; without it, its evaluation split", flag_values=values
    )
    shared_flags.define_output_stride(values)
    shared_flags.define_inference(values)
    flags.DEFINE_string(
        "images",
        None,
        "folder of images to measure on, instead of the data set",
        flag_values=values,
    )
    flags.DEFINE_string(
        "labels", None, "folder of the masks that belong to --images", flag_values=values
    )
    flags.DEFINE_string(
        "classes",
        None,
        "class list of these masks, which names the ignored id and the colors; without it, as in "
        "training",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "original_protocol",
        False,
        "combine several scales exactly as the original code, quirks included",
        flag_values=values,
    )
    flags.DEFINE_string(
        "pad_to",
        None,
        "N or H,W: pad each image at the bottom and right to this size, in pixels",
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "gin_file", [], "gin file of another data set than the run's", flag_values=values
    )
    flags.DEFINE_string(
        "name",
        None,
        "folder of the results in MODEL_DIR/eval; without it, made of data set and settings",
        flag_values=values,
    )
    flags.DEFINE_string(
        "output_dir",
        None,
        "folder of metrics.json and report.html, instead of one in MODEL_DIR/eval",
        flag_values=values,
    )
    shared_flags.define_data(values)


def _run(values: flags.FlagValues) -> int:
    shared_flags.require_together(values, "images", "labels")
    if values.name and values.output_dir:
        raise UsageError("flag --name does not go with --output_dir")
    if values.classes and not values.images:
        raise UsageError("flag --classes needs --images")
    eval_scales = shared_flags.eval_scales(values)
    pad_to = None if values.pad_to is None else shared_flags.size(values.pad_to, "--pad_to")
    output_dir = shared_flags.optional_path(values.output_dir)
    if output_dir is not None:
        shared_flags.require_writable(output_dir)

    import_tensorflow(verbose=values.v > 0)
    from deeplab.configuration import read_data_config
    from deeplab.evaluation import evaluate

    evaluate(
        model_dir=shared_flags.path(values.model_dir),
        checkpoint=values.checkpoint,
        split=values.split,
        output_stride=shared_flags.output_stride(values),
        eval_scales=eval_scales,
        flip=values.flip,
        original_protocol=values.original_protocol,
        images=shared_flags.optional_path(values.images),
        labels=shared_flags.optional_path(values.labels),
        classes=shared_flags.optional_path(values.classes),
        pad_to=pad_to,
        data=read_data_config(values.gin_file) if values.gin_file else None,
        name=values.name,
        data_dir=shared_flags.optional_path(values.data_dir),
        source_dir=shared_flags.optional_path(values.source_dir),
        output_dir=output_dir,
    )
    return 0


COMMAND = Command(
    name="evaluate",
    summary="Measures a model on labelled images: a table, metrics.json and report.html.",
    example="deeplab evaluate --model_dir=models/shapes",
    define=_define,
    run=_run,
    required=("model_dir",),
)
