"""`deeplab evaluate`: measures a model on labeled images."""

from __future__ import annotations

import re

from absl import flags

from deeplab.cli import model_folder, shared_flags
from deeplab.cli.command import Command, UsageError
from deeplab.cli.quiet import import_tensorflow
from deeplab.errors import DeepLabError


def _run(values: flags.FlagValues) -> int:
    shared_flags.require_one_of(values, shared_flags.MODELS)
    shared_flags.require_together(values, "images", "labels")
    if values.name and values.output_dir:
        raise UsageError("flag --name does not go with --output_dir")
    if values.classes and not values.images:
        raise UsageError("flag --classes needs --images")
    if values.timeout and not values.watch:
        raise UsageError("flag --timeout needs --watch")
    if values.watch and not values.model_dir:
        raise UsageError("flag --watch needs --model_dir")
    if values.group_by is not None:
        _require_regular_expression(values.group_by)
    if not values.model_dir:
        shared_flags.require_for_export(values, "output_dir")
        shared_flags.require_for_export(values, "gin_file", "images")
    eval_scales = shared_flags.eval_scales(values)
    window, overlap = shared_flags.window(values)
    pad_to = shared_flags.size(values, "pad_to")
    if values.output_dir is not None:
        shared_flags.require_writable(values.output_dir)
    elif model_folder.is_name(values.model_dir):
        raise DeepLabError(
            f"--model_dir={values.model_dir} is only read: the results need a folder, --output_dir"
        )

    import_tensorflow(verbose=values.v > 0)
    from deeplab.configuration import read_data_config
    from deeplab.evaluation import evaluate
    from deeplab.evaluation.slices import read_merged_classes
    from deeplab.evaluation.watch import TIMEOUT

    evaluate(
        model_dir=model_folder.resolve(values.model_dir),
        saved_model=values.saved_model,
        litert=values.litert,
        onnx=values.onnx,
        checkpoint=values.checkpoint,
        split=values.split,
        output_stride=shared_flags.output_stride(values),
        eval_scales=eval_scales,
        flip=values.flip,
        window=window,
        overlap=overlap,
        original_protocol=values.original_protocol,
        images=values.images,
        labels=values.labels,
        classes=values.classes,
        pad_to=pad_to,
        data=read_data_config(values.gin_file) if values.gin_file else None,
        name=values.name,
        data_dir=values.data_dir,
        source_dir=values.source_dir,
        output_dir=values.output_dir,
        calibration=values.calibration,
        group_by=values.group_by,
        merge_classes=read_merged_classes(values.merge_classes),
        compare=values.compare,
        watch=values.watch,
        timeout=values.timeout or TIMEOUT,
    )
    return 0


def _require_regular_expression(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(f"flag --group_by={pattern}: no regular expression: {error}") from error


COMMAND = Command(
    name="evaluate",
    summary="Measures a model on labeled images: a table, metrics.json and report.html.",
    example="deeplab evaluate --model_dir=models/shapes",
    own_flags=(
        model_folder.model_folder("model_dir", "folder of the run"),
        *shared_flags.EXPORTED,
        shared_flags.CHECKPOINT,
        shared_flags.word("split", "split of the data set; without it, its evaluation split"),
        shared_flags.output_stride_flag(),
        *shared_flags.INFERENCE,
        *shared_flags.WINDOW,
        shared_flags.path("images", "folder of images to measure on, instead of the data set"),
        shared_flags.path("labels", "folder of the masks that belong to --images"),
        shared_flags.path(
            "classes",
            "class list of these masks, which names the ignored id and the colors; without it, as "
            "in training",
        ),
        shared_flags.switch(
            "original_protocol",
            "combine several scales exactly as the original code, quirks included",
        ),
        shared_flags.word(
            "pad_to", "N or H,W: pad each image at the bottom and right to this size, in pixels"
        ),
        shared_flags.paths("gin_file", "gin file of another data set than the run's"),
        shared_flags.word(
            "name",
            "folder of the results in MODEL_DIR/eval; without it, made of data set and settings",
        ),
        shared_flags.path("output_dir", "folder of the results, instead of one in MODEL_DIR/eval"),
        shared_flags.switch("calibration", "ask, too, how far the probabilities can be trusted"),
        shared_flags.word(
            "group_by",
            "regular expression: results by its first group in the images' ids, such as '^(.+?)_'",
        ),
        shared_flags.paths(
            "merge_classes",
            "results over a super-category, name=class,class; or a JSON or YAML file of several",
        ),
        shared_flags.path(
            "compare",
            "metrics.json of another evaluation of the same images, or the folder of another model",
        ),
        shared_flags.switch(
            "watch",
            "evaluate each checkpoint of a run that trains elsewhere, with EVAL_STEPS = 0; keep "
            "the best in checkpoints/best",
        ),
        shared_flags.integer(
            "timeout", None, "seconds that --watch waits for a new checkpoint; without it, 3600", 1
        ),
        *shared_flags.DATA,
    ),
    run=_run,
)
