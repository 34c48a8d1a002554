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

    import deeplab
    from deeplab.models import training_memory
    from deeplab.training.learner import make_learner

    size, batch = arguments.crop_size, int(arguments.batch)
    network = deeplab.ModelConfig(
        arguments.backbone,
        num_classes=arguments.num_classes,
        output_stride=arguments.output_stride,
    )
    config = deeplab.TrainConfig(
        network,
        deeplab.DataConfig("shapes", crop_size=size),
        deeplab.OptimizerConfig(arguments.optimizer, 0.001),
        accumulation_steps=arguments.accumulation_steps,
        rematerialize=arguments.rematerialize,
    )
    memory = training_memory(
        network, height=size, width=size, slots=1 if arguments.optimizer == "sgd" else 2
    )
    images = tf.random.uniform([batch, size, size, 3], 0, 255)
    labels = tf.random.uniform([batch, size, size], 0, arguments.num_classes, tf.int32)
    before = resident("VmRSS")
    step = make_learner(config, network, tf.distribute.get_strategy()).train_step(255)
    for _ in range(3):
        step({"image": images, "label": labels})
    measured = resident("VmHWM") - before
    print(f"{batch:5}  {memory.of_batch(batch) / 1e9:12.2f}  {measured / 1e9:11.2f}", flush=True)


if __name__ == "__main__":
    main()
