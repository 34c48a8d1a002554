#!/usr/bin/env python3
"""Times an exported model against Keras' own export of the same network, in turns, in one run.

python tools/benchmarks/export_latency.py --backbone=mobilenet_v2 --height=513 --width=513
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

import deeplab
from deeplab.export.saved_model import ServedModel, save


def main() -> None:
    """Prints the median of each and the median of the ratio pair by pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--backbone", choices=sorted(deeplab.BACKBONES), default="mobilenet_v2")
    parser.add_argument("--num_classes", type=int, default=21)
    parser.add_argument("--output_stride", type=int, default=16)
    parser.add_argument("--height", type=int, default=513, help="pixels")
    parser.add_argument("--width", type=int, default=513, help="pixels")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()

    model = deeplab.deeplab_v3_plus(
        arguments.backbone,
        num_classes=arguments.num_classes,
        output_stride=arguments.output_stride,
    )
    size = (1, arguments.height, arguments.width, 3)
    images = tf.constant(np.random.default_rng(0).uniform(0, 255, size).astype(np.float32))
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "keras")
        ours.mkdir()
        save(ServedModel(model), ours, {})
        model.export(str(theirs), verbose=False)
        # The loaded objects own the variables: they must live as long as their functions.
        our_model, keras_model = (tf.saved_model.load(str(path)) for path in (ours, theirs))
        frozen, keras_export = our_model.signatures["logits"], keras_model.serve
        pairs = []
        for run in range(arguments.runs + 2):
            times = (seconds(lambda: frozen(images=images)), seconds(lambda: keras_export(images)))
            if run >= 2:  # the first ones trace and allocate
                pairs.append(times)
    ratios = [theirs / ours for ours, theirs in pairs]
    print(f"{arguments.backbone}, {arguments.height}x{arguments.width}, median of {len(pairs)}:")
    print(f"  frozen export  {1000 * statistics.median(ours for ours, _ in pairs):.0f} ms")
    print(f"  model.export   {1000 * statistics.median(theirs for _, theirs in pairs):.0f} ms")
    print(f"  ratio          {statistics.median(ratios):.2f}")


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
