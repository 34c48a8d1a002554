"""`deeplab info`: what a network costs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from absl import flags

from deeplab.cli import shared_flags
from deeplab.cli.command import Command, UsageError
from deeplab.cli.quiet import import_tensorflow
from deeplab.errors import DeepLabError

if TYPE_CHECKING:
    from deeplab.models import ModelConfig


def _define(values: flags.FlagValues) -> None:
    shared_flags.define_gin(values)
    shared_flags.define_model_dir(values, "folder of a model, instead of --gin_file")
    flags.DEFINE_integer("height", 513, "of the image, in pixels", 1, flag_values=values)
    flags.DEFINE_integer("width", 513, "of the image, in pixels", 1, flag_values=values)
    shared_flags.define_output_stride(values)


def _run(values: flags.FlagValues) -> int:
    if bool(values.gin_file) == bool(values.model_dir):
        raise UsageError("one of --gin_file and --model_dir is needed (deeplab info --help)")
    import_tensorflow(verbose=values.v > 0)
    from deeplab.models import activation_bytes, build_model, multiply_adds, parameters

    config = _configuration(values)
    stride = shared_flags.output_stride(values)
    if stride is not None:
        config = config.at_output_stride(stride)
    size = {"height": values.height, "width": values.width}
    numbers = parameters(build_model(config))
    costs = multiply_adds(config, **size)
    print(f"{config.backbone}, output stride {config.output_stride}, {config.num_classes} classes")
    print(f"{'':<10}{'parameters':>16}{'multiply-adds':>20}")
    for part in numbers | costs:
        print(f"{part:<10}{numbers.get(part, 0):>16,}{costs.get(part, 0):>20,}")
    print(f"{'total':<10}{sum(numbers.values()):>16,}{sum(costs.values()):>20,}")
    print(
        f"multiply-adds of the convolutions for one image of {values.height}x{values.width}; its "
        f"activations\ntake at most {activation_bytes(config, **size) / 2**20:,.0f} MB in training "
        "(float32)"
    )
    return 0


def _configuration(values: flags.FlagValues) -> ModelConfig:
    if values.model_dir:
        from deeplab.run_folder import read_description

        return read_description(shared_flags.path(values.model_dir)).config
    from deeplab.configuration import read_configuration
    from deeplab.data import DATASETS

    train = read_configuration(values.gin_file, values.gin_bindings).train
    if train.model.num_classes is not None:
        return train.model
    names = DATASETS[train.data.dataset].class_names
    if names is None:
        raise DeepLabError(
            f"the data set {train.data.dataset!r} has its classes from its files; say how many: "
            "--gin_bindings=NUM_CLASSES=..."
        )
    return dataclasses.replace(train.model, num_classes=len(names))


COMMAND = Command(
    name="info",
    summary="Prints parameters, multiply-adds and activation memory of a network, part by part.",
    example="deeplab info --gin_file=runs/shapes_mobilenet_v2.gin --height=513 --width=513",
    define=_define,
    run=_run,
)
