#!/usr/bin/env python3
"""Processor time of each augmentation, as a multiple of scale, crop and flip alone.

    python tools/benchmarks/augmentation.py --gin_file=runs/camvid_mobilenet_v2.gin --source_dir=DIR

Everything runs in one process, in turns for several rounds; medians are printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_BATCH = 8
_WARM_UP = 3
_QUIET = 0.7  # seconds in which buffers fill up


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--gin_file", required=True, help="says which data set")
    parser.add_argument("--source_dir")
    parser.add_argument("--data_dir")
    parser.add_argument("--crop_size", type=int, default=513, help="pixels")
    parser.add_argument("--batches", type=int, default=12, help=f"of {_BATCH} images, a round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    from deeplab.configuration import read_data_config
    from deeplab.data import AugmentConfig, TrainingStream, load_dataset
    from deeplab.data.augment import DISTORTIONS, MIXES

    config = read_data_config([arguments.gin_file])
    config = dataclasses.replace(config, crop_size=arguments.crop_size)
    dataset = load_dataset(
        config.dataset, data_dir=arguments.data_dir, source_dir=arguments.source_dir
    )
    pasted = dataset.class_names[-2:]
    cases = {"scale, crop, flip": AugmentConfig()}
    cases |= {name: AugmentConfig(distortions=(name,)) for name in DISTORTIONS}
    for name in MIXES:
        classes = pasted if name == "copy_paste" else ()
        cases[f"{name} (all images)"] = AugmentConfig(
            mix=name, mix_probability=1.0, copy_paste_classes=classes
        )
    cases["all distortions"] = AugmentConfig(distortions=tuple(DISTORTIONS))
    streams = {}
    for name, augment in cases.items():
        batches = TrainingStream(
            dataset,
            dataclasses.replace(config, augment=augment),
            global_batch_size=_BATCH,
            pad_value=(127.5,) * dataset.input_channels,
            seed=0,
        ).batches()
        streams[name] = iter(batches)
        for _ in range(_WARM_UP):
            next(streams[name])
        time.sleep(_QUIET)
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(arguments.rounds):
        for name, stream in streams.items():
            start = time.process_time()
            for _ in range(arguments.batches):
                next(stream)
            # What was prefetched before is prefetched again: the work of as many batches is done.
            time.sleep(_QUIET)
            times[name].append((time.process_time() - start) / (arguments.batches * _BATCH))
    base = statistics.median(times["scale, crop, flip"])
    print(f"{dataset.name}, crop {arguments.crop_size}, median of {arguments.rounds} rounds")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"  {name:<26}{1000 * median:7.2f} CPU ms an image{median / base:8.1f}")


if __name__ == "__main__":
    main()
