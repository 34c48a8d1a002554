#!/usr/bin/env python3
"""Seconds to the first training batch, at the first step and at a late one.

    python tools/benchmarks/late_start.py --step=30000 --global_batch_size=16

Both are opened in turns, several times; medians are printed. The first opening of all, which loads
libraries, does not count.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--gin_file", default="runs/shapes_mobilenet_v2.gin", help="the data set")
    parser.add_argument("--source_dir")
    parser.add_argument("--data_dir")
    parser.add_argument("--step", type=int, default=30_000)
    parser.add_argument("--global_batch_size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    from deeplab.configuration import read_data_config
    from deeplab.data import TrainingStream, load_dataset

    # Without a cache, so that what is read is read.
    config = dataclasses.replace(read_data_config([arguments.gin_file]), cache="none")
    dataset = load_dataset(
        config.dataset, data_dir=arguments.data_dir, source_dir=arguments.source_dir
    )

    def seconds(step: int) -> float:
        start = time.perf_counter()
        batches = TrainingStream(
            dataset,
            config,
            global_batch_size=arguments.global_batch_size,
            pad_value=(127.5,) * dataset.input_channels,
            seed=0,
        ).batches(step)
        next(iter(batches))
        return time.perf_counter() - start

    seconds(0)
    steps = (0, arguments.step)
    times = [[seconds(step) for step in steps] for _ in range(arguments.rounds)]
    for step, row in zip(steps, zip(*times, strict=True), strict=True):
        print(f"first batch at step {step:>7,}: {statistics.median(row):.2f} s")


if __name__ == "__main__":
    main()
