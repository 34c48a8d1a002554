"""`deeplab export`: writes a model for serving, or for other libraries."""

from __future__ import annotations

import os

from absl import flags

from deeplab.cli import model_folder, shared_flags
from deeplab.cli.command import Command, UsageError
from deeplab.cli.quiet import import_tensorflow

# As in deeplab.export, which `--help` cannot wait for.
FORMATS = [
    "hugging_face",
    "keras",
    "litert",
    "litert_float16",
    "litert_dynamic",
    "litert_int8",
    "onnx",
    "saved_model",
    "timm",
    "web",
]


def _run(values: flags.FlagValues) -> int:
    export_dir = values.export_dir
    fixed_size = shared_flags.size(values, "fixed_size")
    if fixed_size is not None and values.dynamic_size:
        raise UsageError("flag --fixed_size does not go with --dynamic_size")
    eval_scales = shared_flags.eval_scales(values)
    shared_flags.require_writable(export_dir)

    import_tensorflow(verbose=values.v > 0)
    from deeplab.export.export import export_formats
    from deeplab.export.record import table

    verifications = export_formats(
        model_dir=model_folder.resolve(values.model_dir),
        export_dir=export_dir,
        formats=values.format,
        checkpoint=values.checkpoint,
        output_stride=shared_flags.output_stride(values),
        fixed_size=fixed_size,
        dynamic_size=values.dynamic_size,
        eval_scales=eval_scales,
        flip=values.flip,
        web_runtime=values.web_runtime,
        calibration_images=values.calibration_images,
        overwrite=values.overwrite,
    )
    places = {
        name: os.path.join(export_dir, name) if len(verifications) > 1 else export_dir
        for name in verifications
    }
    for name, verification in verifications.items():
        print(f"wrote {places[name]}, {verification}")
    print(table(places, verifications))
    return 0


COMMAND = Command(
    name="export",
    summary="Writes a model for serving or for other libraries, and compares the result with it.",
    example="deeplab export --model_dir=models/shapes --export_dir=exports/shapes",
    own_flags=(
        model_folder.model_folder("model_dir", "folder of the run"),
        shared_flags.CHECKPOINT,
        shared_flags.path("export_dir", "folder that becomes the exported model"),
        shared_flags.choices(
            "format",
            ["saved_model"],
            "what to write; several stand in folders of their names below --export_dir",
            FORMATS,
        ),
        shared_flags.output_stride_flag(),
        shared_flags.word(
            "fixed_size",
            "N or H,W: the only size of images that the result takes, in pixels; without it, any; "
            "for LiteRT the crop size of training, or 513",
        ),
        shared_flags.switch("dynamic_size", "a LiteRT file for images of any size instead"),
        *shared_flags.INFERENCE,
        shared_flags.path(
            "web_runtime",
            "folder with onnxruntime-web for the format web, where npm cannot download it",
        ),
        shared_flags.path(
            "calibration_images",
            "folder of images like those that a litert_int8 file will see; without it, the "
            "training split",
        ),
        shared_flags.switch("overwrite", "replace a folder that exists"),
    ),
    run=_run,
    required=("model_dir", "export_dir"),
)
