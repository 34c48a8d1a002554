#!/usr/bin/env python3
"""What an exported model takes of memory and time, beside Keras' own export of the same network.

Each row is a process of its own that imports TensorFlow, loads a SavedModel and calls it five
times. Memory is the peak of its resident memory (Linux) over what it held before it loaded. The
exports take turns; times are medians over the rounds. Other work disturbs the processor time of a
call less than the time that passes. oneDNN is as TensorFlow decides, or as told:

    python tools/benchmarks/export_memory.py --backbone=xception_65 --onednn=0,1

--export=NAME=FOLDER adds an export that lies there already, such as one of another version.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from process_memory import resident

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

_CALLS = 5


def main() -> None:
    """Prints a row an export, and how many pixels of it have another class than Keras'."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--num_classes", type=int, default=21)
    parser.add_argument("--output_stride", type=int, default=16)
    parser.add_argument("--height", type=int, default=513, help="pixels")
    parser.add_argument("--width", type=int, default=513, help="pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--onednn", default="", help="values of TF_ENABLE_ONEDNN_OPTS, with commas")
    parser.add_argument("--export", action="append", default=[], help="NAME=FOLDER; repeatable")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(_measure(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        exports = _write(arguments, Path(folder))
        exports |= dict(export.split("=", 1) for export in arguments.export)
        for onednn in arguments.onednn.split(","):
            _compare(exports, onednn, arguments.rounds, Path(folder))


def _write(arguments: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Exports the network in both ways: name -> folder."""
    import keras

    import deeplab
    from deeplab.export.saved_model import ServedModel, save

    keras.utils.set_random_seed(0)
    model = deeplab.deeplab_v3_plus(
        arguments.backbone,
        num_classes=arguments.num_classes,
        output_stride=arguments.output_stride,
    )
    generator = np.random.default_rng(0)
    for variable in model.variables:  # statistics other than those of batch norm's beginning
        if variable.path.endswith(("moving_variance", "gamma")):
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
        elif variable.path.endswith(("moving_mean", "beta", "bias")):
            variable.assign(generator.normal(0, 0.1, variable.shape))
    exports = {name: str(folder / name) for name in ("model.export", "deeplab export")}
    model.export(exports["model.export"], verbose=False)
    Path(exports["deeplab export"]).mkdir()
    save(ServedModel(model), Path(exports["deeplab export"]), {})
    return exports


def _compare(exports: dict[str, str], onednn: str, rounds: int, folder: Path) -> None:
    environment = {**os.environ, **({"TF_ENABLE_ONEDNN_OPTS": onednn} if onednn else {})}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in exports}
    for _ in range(rounds):
        for name, path in exports.items():
            words = [sys.executable, __file__, *sys.argv[1:], f"--measure={path}"]
            output = subprocess.run(
                words, check=True, env=environment, cwd=folder, stdout=subprocess.PIPE
            )
            results[name].append(json.loads(output.stdout))
    print(f"oneDNN {onednn or 'as TensorFlow decides'}")
    columns = ("peak MB", "load s", "first s", "call ms", "CPU ms")
    print(f"{'':<24}{''.join(f'{column:>9}' for column in columns)}{'other classes':>15}")
    expected = np.load(f"{exports['model.export']}.npy")
    for name, rows in results.items():
        median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        other = (np.load(f"{exports[name]}.npy") != expected).mean()
        print(
            f"{name:<24}{median['peak'] / 1e6:>9.0f}{median['load']:>9.2f}{median['first']:>9.2f}"
            f"{1000 * median['call']:>9.0f}{1000 * median['cpu']:>9.0f}{other:>15.4%}",
            flush=True,
        )


def _measure(arguments: argparse.Namespace) -> dict[str, float]:
    import tensorflow as tf

    size = (1, arguments.height, arguments.width, 3)
    images = tf.constant(np.random.default_rng(0).uniform(0, 255, size).astype(np.float32))
    before = resident("VmRSS")
    begin = time.perf_counter()
    loaded = tf.saved_model.load(arguments.measure)
    times, cpu_times = [time.perf_counter() - begin], []
    for _ in range(_CALLS):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        if "logits" in loaded.signatures:
            logits = loaded.signatures["logits"](images=images)["logits"]
        else:
            logits = loaded.serve(images)
        times.append(time.perf_counter() - begin)
        cpu_times.append(time.process_time() - cpu_begin)
    peak = resident("VmHWM") - before
    np.save(f"{arguments.measure}.npy", np.argmax(logits, -1))
    load, first, *calls = times
    return {
        "peak": peak,
        "load": load,
        "first": first,
        "call": statistics.median(calls),
        "cpu": statistics.median(cpu_times[1:]),
    }


if __name__ == "__main__":
    main()
