"""`deeplab import`: makes a model folder of weights that somebody else trained."""

from __future__ import annotations

from absl import flags

from deeplab.cli import model_folder, shared_flags
from deeplab.cli.command import Command, UsageError, bad_choice
from deeplab.cli.quiet import import_tensorflow

# As in deeplab.interop, which `--help` cannot wait for.
PARTS = ["aspp", "concat_projection", "decoder", "image_pooling", "logits", "meta_architecture"]


def _parts(values: flags.FlagValues) -> tuple[str, ...]:
    words = [word for group in values.skip for word in group.split(",")]
    for word in words:
        if word not in PARTS:
            raise UsageError(bad_choice("skip", word, PARTS))
    return tuple(words)


def _run(values: flags.FlagValues) -> int:
    if values.source == "model_zoo" and not values.checkpoint and not values.model_dir:
        return _list_zoo(values)
    for name in ("checkpoint", "model_dir"):
        if not values[name].value:
            raise UsageError(f"missing flag --{name} (deeplab import --help lists the flags)")
    skip = _parts(values)
    model_dir = values.model_dir
    shared_flags.require_writable(model_dir)

    import_tensorflow(verbose=values.v > 0)
    from deeplab.interop.import_model import import_model

    import_model(
        source=values.source,
        checkpoint=values.checkpoint,
        model_dir=model_dir,
        original_flags=values.original_flags or "",
        output_stride=shared_flags.output_stride(values),
        dataset=values.dataset,
        num_classes=values.num_classes,
        skip=skip,
        backbone_only=values.backbone_only,
        keep_classifier=values.keep_classifier,
    )
    return 0


def _list_zoo(values: flags.FlagValues) -> int:
    import_tensorflow(verbose=values.v > 0)
    from deeplab.interop.model_zoo import listing

    for line in listing():
        print(line)
    return 0


COMMAND = Command(
    name="import",
    summary="Makes a model folder of weights that somebody else trained.",
    example=(
        "deeplab import --source=tf1 --checkpoint=deeplabv3_pascal_trainval/model.ckpt "
        "--model_dir=models/pascal"
    ),
    own_flags=(
        flags.EnumFlag(
            "source",
            None,
            "where the weights are from: the original's model zoo, any checkpoint of the original "
            "(tf1), a .tflite file (litert), a hub (hugging_face, keras_io, timm), or "
            "keras.applications",
            model_folder.SOURCES,
        ),
        shared_flags.path_or_name(
            "checkpoint",
            "the file or folder; for tf1 the prefix of a checkpoint (without .index) or a frozen "
            "graph (.pb). Or what is downloaded: a name of the model_zoo (without this flag they "
            "are listed) or of keras_applications, the id OWNER/NAME[@REVISION] of a hub",
        ),
        model_folder.new_model_folder("folder to make; an existing one must be empty"),
        shared_flags.word(
            "original_flags",
            "flags of the original programs as they were typed, for what the file cannot tell, "
            'such as "--output_stride=8 --atrous_rates=12 --atrous_rates=24 --atrous_rates=36"',
        ),
        shared_flags.output_stride_flag("that of the original flags, of the file, or 16"),
        shared_flags.word(
            "dataset",
            "data set whose class names and colors the model gets; without it those of the model "
            "of the zoo, else class_00 and so on. ade20k drops output 0 of the original's 151, "
            "which its masks ignore",
        ),
        shared_flags.integer(
            "num_classes",
            None,
            "number of classes; another one than the file's needs --skip=logits or "
            "--backbone_only. 151 with --dataset=ade20k keeps output 0",
            minimum=2,
        ),
        shared_flags.words(
            "skip",
            [],
            f"a part of the network that stays fresh, of {', '.join(PARTS)}; commas separate "
            "several",
        ),
        shared_flags.switch(
            "backbone_only",
            "load the backbone alone, such as that of a classifier; the head stays fresh",
        ),
        shared_flags.switch(
            "keep_classifier",
            "keep the ImageNet classifier of the file beside the model, for deeplab info "
            "--classify",
        ),
    ),
    run=_run,
    required=("source",),
)
