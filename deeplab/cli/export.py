"""`deeplab export`: writes a model for serving."""

from __future__ import annotations

from absl import flags

from deeplab.cli import model_folder, shared_flags
from deeplab.cli.command import Command
from deeplab.cli.quiet import import_tensorflow

# As in deeplab.export, which `--help` cannot wait for.
FORMATS = ["saved_model"]


def _run(values: flags.FlagValues) -> int:
    export_dir = values.export_dir
    shared_flags.require_writable(export_dir)

    import_tensorflow(verbose=values.v > 0)
    from deeplab.export import export

    verification = export(
        model_dir=model_folder.resolve(values.model_dir),
        export_dir=export_dir,
        format=values.format,
        checkpoint=values.checkpoint,
        output_stride=shared_flags.output_stride(values),
        overwrite=values.overwrite,
    )
    print(
        f"wrote {export_dir}, compared with the model on {verification.num_images} images of "
        f"{verification.images}: logits differ by {verification.logits_difference:.1e} of their "
        f"standard deviation, {verification.changed_pixels:.3%} of the pixels change class"
    )
    return 0


COMMAND = Command(
    name="export",
    summary="Writes a model for serving, compared with the original before it is called done.",
    example="deeplab export --model_dir=models/shapes --export_dir=exports/shapes",
    own_flags=(
        model_folder.model_folder("model_dir", "folder of the run"),
        shared_flags.CHECKPOINT,
        shared_flags.path("export_dir", "folder that becomes the exported model"),
        flags.EnumFlag("format", "saved_model", "what to write", FORMATS),
        shared_flags.output_stride_flag(),
        shared_flags.switch("overwrite", "replace a folder that exists"),
    ),
    run=_run,
    required=("model_dir", "export_dir"),
)
