"""`deeplab predict`: writes masks and overlays of images."""

from __future__ import annotations

from absl import flags

from deeplab.cli import model_folder, shared_flags
from deeplab.cli.command import Command, UsageError, bad_choice
from deeplab.cli.quiet import import_tensorflow

# The kinds of results, as in deeplab/evaluation/prediction/saves.py.
_SAVES = (
    "index",
    "color",
    "overlay",
    "cityscapes_ids",
    "voc_palette",
    "probabilities",
    "coco",
)


def _run(values: flags.FlagValues) -> int:
    shared_flags.require_one_of(values, shared_flags.MODELS)
    eval_scales = shared_flags.eval_scales(values)
    window, overlap = shared_flags.window(values)
    if values.overwrite and values.skip_existing:
        raise UsageError("flag --overwrite does not go with --skip_existing")
    save = [name for group in values.save for name in group.split(",")]
    for name in save:
        if name not in _SAVES:
            raise UsageError(bad_choice("save", name, _SAVES))
    output_dir = values.output_dir
    shared_flags.require_writable(output_dir)

    # Nothing else needs it: a LiteRT or ONNX file is segmented without.
    if values.model_dir or values.saved_model:
        import_tensorflow(verbose=values.v > 0, alone=values.model_dir is None)
    from deeplab.evaluation.prediction.predict import predict

    summary = predict(
        model_dir=model_folder.resolve(values.model_dir),
        saved_model=values.saved_model,
        litert=values.litert,
        onnx=values.onnx,
        checkpoint=values.checkpoint,
        inputs=values.input,
        output_dir=output_dir,
        output_stride=shared_flags.output_stride(values),
        eval_scales=eval_scales,
        flip=values.flip,
        window=window,
        overlap=overlap,
        save=save,
        batch_size=values.batch_size,
        overwrite=values.overwrite,
        skip_existing=values.skip_existing,
    )
    # Each image that failed has been named by now.
    return 1 if summary.failures else 0


COMMAND = Command(
    name="predict",
    summary="Writes what a model sees in images and videos: masks, overlays, probabilities.",
    example="deeplab predict --model_dir=models/shapes --input=photos --output_dir=masks",
    own_flags=(
        model_folder.model_folder("model_dir", "folder of the run"),
        *shared_flags.EXPORTED,
        shared_flags.CHECKPOINT,
        shared_flags.paths("input", "an image or video, a folder of images, or a glob in quotes"),
        shared_flags.path("output_dir", "folder of the results, such as NAME_index.png"),
        shared_flags.output_stride_flag(),
        *shared_flags.INFERENCE,
        *shared_flags.WINDOW,
        shared_flags.words(
            "save",
            ["index,color,overlay"],
            f"the results of each image: {', '.join(_SAVES)}; with commas or repeated",
        ),
        shared_flags.integer("batch_size", 1, "neighboring images of one size seen at once", 1),
        shared_flags.switch("overwrite", "replace results that exist"),
        shared_flags.switch("skip_existing", "leave out images whose results exist"),
    ),
    run=_run,
    required=("input", "output_dir"),
)
