#!/usr/bin/env python3
"""How many steps of a run fit into some minutes on this machine: prints TRAIN_STEPS=N.

    python tools/quickstart_steps.py --gin_file=runs/shapes_mobilenet_v2.gin --minutes=6.5

A few steps are timed on random images; standard error says what was found. Never more steps than
the run has, and never fewer than `--least`, with which it takes as long as it takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from deeplab.cli.quiet import import_tensorflow

_WARM_UP, _MEASURED = 2, 5


def main() -> None:
    """Prints the binding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--gin_file", required=True)
    parser.add_argument("--gin_bindings", action="append", default=[])
    parser.add_argument("--minutes", type=float, required=True, help="of training")
    parser.add_argument("--least", type=int, default=100, help="steps")
    arguments = parser.parse_args()
    import_tensorflow(verbose=False)
    from deeplab.configuration import read_configuration

    config = read_configuration([arguments.gin_file], arguments.gin_bindings).train
    seconds = _seconds_of_a_step(config)
    fitting = int(60 * arguments.minutes / seconds)
    steps = min(config.train_steps, max(fitting, arguments.least))
    print(
        f"a step takes {seconds:.2f} s here: {steps} steps, of the {config.train_steps} of the run",
        file=sys.stderr,
    )
    print(f"TRAIN_STEPS={steps}")


def _seconds_of_a_step(config) -> float:
    import tensorflow as tf

    import deeplab
    from deeplab.models import with_num_classes
    from deeplab.training.learner import make_learner

    spec = deeplab.DATASETS[config.data.dataset]
    classes = len(spec.class_names)
    network = with_num_classes(config.model, classes, source=f"the data set {spec.name!r}")
    shape = (config.global_batch_size, *config.data.crop_height_width)
    batch = {
        "image": tf.random.uniform((*shape, 3), 0, 255),
        "label": tf.random.uniform(shape, 0, classes, tf.int32),
    }
    step = make_learner(config, network, tf.distribute.get_strategy()).train_step(spec.ignore_label)
    times = []
    for _ in range(_WARM_UP + _MEASURED):
        start = time.perf_counter()
        float(step(batch).loss)
        times.append(time.perf_counter() - start)
    return statistics.median(times[_WARM_UP:])


if __name__ == "__main__":
    main()
