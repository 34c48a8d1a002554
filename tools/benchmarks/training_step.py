#!/usr/bin/env python3
"""Time and memory of a training step, beside `fit` of Keras on the same network.

Each case runs in a process of its own, and the two systems in turns. Both get the same batch from
memory, so that no input pipeline is measured, and SGD with momentum. Ours also computes the weight
decay of the original, the loss over the valid pixels of the global batch and the norm of the
gradient; `fit` has a mean cross entropy that knows an ignored class.

    python tools/benchmarks/training_step.py --backbone=mobilenet_v2 --crop_size=257 --batch=4
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from process_memory import resident

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SYSTEMS = ("deeplab", "keras fit")
_WARM_UP = 2  # steps that compile and allocate


def main() -> None:
    """Prints the medians over the rounds, and the median ratio of the pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--output_stride", type=int, default=16)
    parser.add_argument("--num_classes", type=int, default=21)
    parser.add_argument("--crop_size", type=int, default=257, help="pixels")
    parser.add_argument("--batch", type=int, default=4, help="images")
    parser.add_argument("--steps", type=int, default=6, help="measured steps of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.system:
        print(json.dumps(_measure(arguments)))
        return
    found: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
    for _ in range(arguments.rounds):
        for system in SYSTEMS:
            words = [sys.executable, __file__, *sys.argv[1:], f"--system={system}"]
            output = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[system].append(json.loads(output.splitlines()[-1]))
    print(
        f"{arguments.backbone}, {arguments.batch} crops of {arguments.crop_size}, output stride "
        f"{arguments.output_stride}; {arguments.rounds} rounds of {arguments.steps} steps"
    )
    for system, rows in found.items():
        seconds = statistics.median(row["seconds"] for row in rows)
        memory = statistics.median(row["bytes"] for row in rows)
        print(f"  {system:<10}{seconds:8.3f} s a step {memory / 1e9:8.2f} GB at most")
    for name, unit in (("seconds", "time"), ("bytes", "memory")):
        pairs = zip(*found.values(), strict=True)
        ratio = statistics.median(theirs[name] / ours[name] for ours, theirs in pairs)
        print(f"  {unit} of keras fit over ours: {ratio:.2f}")


def _measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of a step, and what the process has grown by since before there was a model."""
    import tensorflow as tf

    import deeplab

    size = arguments.crop_size
    tf.random.set_seed(0)
    images = tf.random.uniform([arguments.batch, size, size, 3], 0, 255)
    labels = tf.random.uniform(
        [arguments.batch, size, size], 0, arguments.num_classes, dtype=tf.int32
    )
    before = resident("VmRSS")
    model = deeplab.deeplab_v3_plus(
        arguments.backbone,
        num_classes=arguments.num_classes,
        output_stride=arguments.output_stride,
    )
    steps = _WARM_UP + arguments.steps
    run = _with_deeplab if arguments.system == "deeplab" else _with_keras
    times = run(model, images, labels, steps)[_WARM_UP:]
    return {"seconds": statistics.median(times), "bytes": resident("VmHWM") - before}


def _with_deeplab(model, images, labels, steps):
    import tensorflow as tf

    from deeplab.training.config import OptimizerConfig
    from deeplab.training.losses import LossConfig, make_loss
    from deeplab.training.optimization.optimizers import Optimizer, loss_weight_decay
    from deeplab.training.step import make_train_step

    config = OptimizerConfig("sgd")
    classes = model.model_config.num_classes
    step = make_train_step(
        model,
        Optimizer(config, lambda step: tf.constant(0.007), model),
        tf.distribute.get_strategy(),
        loss=make_loss(LossConfig(), num_classes=classes, ignore_label=255),
        ignore_label=255,
        weight_decay=loss_weight_decay(config),
    )
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        float(step({"image": images, "label": labels}).loss)
        times.append(time.perf_counter() - start)
    return times


def _with_keras(model, images, labels, steps):
    import keras
    import tensorflow as tf

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.start = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            times.append(time.perf_counter() - self.start)

    times: list[float] = []
    model.compile(
        optimizer=keras.optimizers.SGD(0.007, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255),
        jit_compile=False,  # on a CPU it is many times slower for these convolutions
    )
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat(steps)
    model.fit(batches, epochs=1, verbose=0, callbacks=[Clock()])
    return times


if __name__ == "__main__":
    main()
