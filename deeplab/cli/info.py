"""`deeplab info`: what a network costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from absl import flags

from deeplab.cli import model_folder, shared_flags
from deeplab.cli.command import Command, UsageError
from deeplab.cli.quiet import import_tensorflow
from deeplab.errors import DeepLabError

if TYPE_CHECKING:
    from deeplab.models import ModelConfig
    from deeplab.training.config import OptimizerConfig

_BATCH_SIZES = (1, 2, 4, 8, 16)
_DEVICES = (8, 12, 16, 24, 40, 80)  # GB


def _run(values: flags.FlagValues) -> int:
    if bool(values.gin_file) == bool(values.model_dir):
        raise UsageError("one of --gin_file and --model_dir is needed (deeplab info --help)")
    if values.classify and not values.model_dir:
        raise UsageError("--classify needs --model_dir (deeplab info --help)")
    import_tensorflow(verbose=values.v > 0)
    if values.classify:
        from deeplab.evaluation.classify import classify

        for index, probability in classify(model_dir=values.model_dir, photo=values.classify):
            print(f"{index:>6}  {probability:.4f}")
        return 0
    from deeplab.models import RESERVED, build_model, multiply_adds, parameters, training_memory
    from deeplab.training.optimization.optimizers import num_slots

    config, optimizer = _configuration(values)
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
        f"multiply-adds of the convolutions for one image of {values.height}x{values.width}\n\n"
        f"training on crops of that size, float32, {optimizer.kind}, predicted:"
    )
    memory = training_memory(config, **size, slots=num_slots(optimizer))
    _print_row("batch size of a device", _BATCH_SIZES)
    _print_row("memory in GB", [f"{memory.of_batch(n) / 1e9:.1f}" for n in _BATCH_SIZES])
    print()
    _print_row("memory of a device in GB", _DEVICES)
    _print_row("largest batch size", [memory.largest_batch(n * 10**9) for n in _DEVICES])
    print(f"(of which {RESERVED / 1e9:.0f} GB is left to the device itself)")
    return 0


def _print_row(name: str, cells: Iterable[object]) -> None:
    print(f"{name:<26}" + "".join(f"{cell:>8}" for cell in cells))


def _configuration(values: flags.FlagValues) -> tuple[ModelConfig, OptimizerConfig]:
    from deeplab.training.config import OptimizerConfig

    if values.model_dir:
        from deeplab.model_dir import read_description

        description = read_description(model_folder.resolve(values.model_dir))
        if description.training is None:
            return description.config, OptimizerConfig()
        return description.config, OptimizerConfig(**description.training["optimizer"])
    from deeplab.configuration import read_configuration
    from deeplab.data import DATASETS

    train = read_configuration(values.gin_file, values.gin_bindings).train
    if train.model.num_classes is not None:
        return train.model, train.optimizer
    names = DATASETS[train.data.dataset].class_names
    if names is None:
        raise DeepLabError(
            f"the data set {train.data.dataset!r} has its classes from its files; say how many: "
            "--gin_bindings=NUM_CLASSES=..."
        )
    return dataclasses.replace(train.model, num_classes=len(names)), train.optimizer


COMMAND = Command(
    name="info",
    summary="Prints what a network costs: parameters, multiply-adds, memory of training.",
    example="deeplab info --gin_file=runs/shapes_mobilenet_v2.gin --height=513 --width=513",
    own_flags=(
        *shared_flags.GIN,
        model_folder.model_folder("model_dir", "folder of a model, instead of --gin_file"),
        shared_flags.integer("height", 513, "of the image, in pixels", minimum=1),
        shared_flags.integer("width", 513, "of the image, in pixels", minimum=1),
        shared_flags.output_stride_flag(),
        shared_flags.path(
            "classify",
            "a photograph: print the five likeliest ImageNet ids and their probabilities instead, "
            "by the classifier that an import kept (--keep_classifier)",
        ),
    ),
    run=_run,
)
