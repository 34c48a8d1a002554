"""How much memory training steps take, measured, beside what `deeplab info` predicts.

Each case runs in a process of its own: the peak of its resident memory (Linux) during three
training steps, less what the process held before the model was built.

    python tools/benchmarks/training_memory.py --backbone=xception_65 --crop_size=513 --batch=1,2

The prediction knows nothing of --accumulation_steps and --rematerialize.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from process_memory import resident

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    """Prints a line a batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--output_stride", type=int, default=16)
    parser.add_argument("--num_classes", type=int, default=21)
    parser.add_argument("--crop_size", type=int, default=513)
    parser.add_argument("--optimizer", default="sgd", choices=("sgd", "adamw"))
    parser.add_argument("--batch", default="1,2", help="batch sizes, with commas")
    parser.add_argument("--accumulation_steps", type=int, default=1, help="parts of a batch")
    parser.add_argument("--rematerialize", action="store_true")
    parser.add_argument("--one_case", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_case:
        _one_case(arguments)
        return
    print("batch  predicted GB  measured GB")
    for batch in arguments.batch.split(","):
        words = [*sys.argv[1:], f"--batch={batch}", "--one_case"]
        subprocess.run([sys.executable, __file__, *words], check=True)


def _one_case(arguments: argparse.Namespace) -> None:
    import tensorflow as tf

    import deeplab  # noqa: F401
    from deeplab.models import ModelConfig, build_model, rematerialized, training_memory
    from deeplab.training.config import OptimizerConfig
    from deeplab.training.losses import LossConfig, make_loss
    from deeplab.training.optimization.optimizers import Optimizer
    from deeplab.training.step import make_train_step

    size, batch = arguments.crop_size, int(arguments.batch)
    config = ModelConfig(
        arguments.backbone,
        num_classes=arguments.num_classes,
        output_stride=arguments.output_stride,
    )
    memory = training_memory(
        config, height=size, width=size, slots=1 if arguments.optimizer == "sgd" else 2
    )
    strategy = tf.distribute.get_strategy()
    images = tf.random.uniform([batch, size, size, 3], 0, 255)
    labels = tf.random.uniform([batch, size, size], 0, arguments.num_classes, tf.int32)
    before = resident("VmRSS")
    model = build_model(config)
    optimizer = Optimizer(OptimizerConfig(arguments.optimizer), lambda step: 0.001, model)
    step = make_train_step(
        model,
        optimizer,
        strategy,
        loss=make_loss(LossConfig(), num_classes=arguments.num_classes, ignore_label=255),
        ignore_label=255,
        weight_decay=4e-5,
        accumulation_steps=arguments.accumulation_steps,
        forward=rematerialized(model) if arguments.rematerialize else None,
    )
    for _ in range(3):
        step({"image": images, "label": labels})
    measured = resident("VmHWM") - before
    print(f"{batch:5}  {memory.of_batch(batch) / 1e9:12.2f}  {measured / 1e9:11.2f}", flush=True)


if __name__ == "__main__":
    main()
