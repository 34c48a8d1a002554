#!/usr/bin/env python3
"""Processor time of each loss and its gradient, over that of softmax cross entropy.

python tools/benchmarks/losses.py

From logits of a quarter of the size to the gradient there, as in a training step. Blocks of five
classes and ignored pixels stand for an image.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from deeplab.training.losses import LOSSES, LossConfig, make_loss

_CONFIGS = {
    **{name: LossConfig(terms={name: 1.0}) for name in LOSSES},
    "hard_pixel_fraction": LossConfig(hard_pixel_fraction=0.25),
    "label_smoothing": LossConfig(label_smoothing=0.1),
    "boundary_weight": LossConfig(boundary_width=3, boundary_weight=2.0),
    "upsample_logits=False": LossConfig(upsample_logits=False),
}
_BLOCK = 27


def main() -> None:
    """Prints a row a loss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--crop_size", type=int, default=513, help="pixels")
    parser.add_argument("--num_classes", type=int, default=21)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    size, batch = arguments.crop_size, arguments.batch_size
    blocks = rng.choice([0, 1, 2, 3, 4, 255], (batch, *[size // _BLOCK + 1] * 2))
    labels = np.kron(blocks, np.ones((1, _BLOCK, _BLOCK), np.int32))[:, :size, :size]
    low = ((size - 1) // 4 + 1,) * 2
    logits = rng.normal(0, 2, (batch, *low, arguments.num_classes)).astype(np.float32)
    runs = {
        name: gradient(config, labels.astype(np.int32), logits) for name, config in _CONFIGS.items()
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in range(arguments.runs + 2):
        for name, function in runs.items():
            start = time.process_time()
            function().numpy()
            if run >= 2:  # the first ones trace and allocate
                times[name].append(time.process_time() - start)
    base = statistics.median(times["softmax_cross_entropy"])
    print(f"{batch} crops of {size}x{size}, {arguments.num_classes} classes: {1000 * base:.0f} ms")
    for name, values in times.items():
        print(f"  {name:<22} {statistics.median(values) / base:.2f}")


def gradient(config: LossConfig, labels: np.ndarray, logits: np.ndarray) -> Callable[[], tf.Tensor]:
    """A function that computes the gradient of a loss by the logits, and sums it."""
    loss = make_loss(config, num_classes=logits.shape[-1], ignore_label=255)
    variable, constant = tf.Variable(logits), tf.constant(labels)

    @tf.function
    def run() -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(constant, variable, tf.constant(0, tf.int64))
        return tf.reduce_sum(tape.gradient(value, variable))

    return run


if __name__ == "__main__":
    main()
