#!/usr/bin/env python3
"""Does XLA compile the training step of every network and setting, and is it the same step?

Each case makes one step twice from the same weights and images, without dropout: plain, and with
`TrainConfig.jit_compile = True`. On a CPU compiling takes up to minutes.

    python tools/benchmarks/compiled_steps.py
    python tools/benchmarks/compiled_steps.py --cases=mobilenet_v2,dice --crop_size=129

Updates differ more than losses: through the batch norm of a few pixels rounding moves gradients by
far more than itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import deeplab
from deeplab.models import variables_by_path
from deeplab.training.learner import make_learner
from deeplab.training.losses.table import LOSSES

_IGNORE = 255
_ONLY_OUTPUT_STRIDE = {"hnasnet": 8}
_ADAMW = deeplab.OptimizerConfig("adamw", 0.001)
_CLIPPED = deeplab.OptimizerConfig("sgd", 0.007, clip_norm=0.1)
_ALL_LOSSES = deeplab.LossConfig(
    {name: 1.0 for name in LOSSES},
    label_smoothing=0.1,
    hard_pixel_fraction=0.25,
    boundary_width=2,
    boundary_weight=1.0,
)

# Settings of `TrainConfig`, on MobileNetV2.
SETTINGS = {
    **{name: {"loss": deeplab.LossConfig({name: 1.0})} for name in LOSSES},
    "all losses": {"loss": _ALL_LOSSES},
    "adamw": {"optimizer": _ADAMW},
    "clipping": {"optimizer": _CLIPPED},
    "mixed_bfloat16": {"precision": "mixed_bfloat16"},
    "mixed_float16": {"precision": "mixed_float16"},
    "accumulation": {"accumulation_steps": 2},
    "average": {"ema_decay": 0.99},
    "rematerialize": {"rematerialize": True},
    "all settings": {
        "loss": _ALL_LOSSES,
        "optimizer": dataclasses.replace(_ADAMW, clip_norm=0.1),
        "precision": "mixed_bfloat16",
        "accumulation_steps": 2,
        "ema_decay": 0.99,
        "rematerialize": True,
    },
}


class Outcome(NamedTuple):
    """One step: its loss, by how much each variable moved, and the times of two calls."""

    loss: float
    moved: np.ndarray
    first_seconds: float
    seconds: float


def main() -> None:
    """Prints a line a case; ends with 1 if one cannot be compiled or has another loss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--cases", help="names, with commas; default: all")
    parser.add_argument("--crop_size", type=int, default=33, help="pixels")
    parser.add_argument("--batch", type=int, default=2, help="images")
    arguments = parser.parse_args()
    cases = {name: (name, {}) for name in sorted(deeplab.BACKBONES)}
    cases.update({name: ("mobilenet_v2", settings) for name, settings in SETTINGS.items()})
    chosen = arguments.cases.split(",") if arguments.cases else list(cases)
    print("| | loss | of the compiled step | update differs by | compiling, s | step, ms | plain |")
    print("|---|---|---|---|---|---|---|")
    failed = False
    for name in chosen:
        backbone, settings = cases[name]
        plain, compiled = (
            _step(backbone, settings, arguments.crop_size, arguments.batch, jit_compile)
            for jit_compile in (False, True)
        )
        loss_error = abs(compiled.loss / plain.loss - 1)
        half = settings.get("precision", "float32") != "float32"
        failed |= not loss_error < (1e-2 if half else 1e-4)
        difference = np.linalg.norm(compiled.moved - plain.moved) / np.linalg.norm(plain.moved)
        print(
            f"| {name} | {plain.loss:.6f} | {compiled.loss:.6f} | {difference:.1e} | "
            f"{compiled.first_seconds:.0f} | {1000 * compiled.seconds:.0f} | "
            f"{1000 * plain.seconds:.0f} |",
            flush=True,
        )
    raise SystemExit(failed)


def _step(backbone: str, settings: dict, size: int, images: int, jit_compile: bool) -> Outcome:
    network = deeplab.ModelConfig(
        backbone,
        num_classes=21,
        output_stride=_ONLY_OUTPUT_STRIDE.get(backbone, 16),
        dropout_rate=0.0,
    )
    config = deeplab.TrainConfig(
        network,
        deeplab.DataConfig("shapes", crop_size=size),
        global_batch_size=images,
        jit_compile=jit_compile,
        **settings,
    )
    learner = make_learner(config, network, tf.distribute.OneDeviceStrategy("/cpu:0"))
    random = np.random.default_rng(0)
    cells = random.integers(0, 21, (images, size // 8 + 1, size // 8 + 1), np.int32)
    label = cells.repeat(8, 1).repeat(8, 2)[:, :size, :size]
    label[:, :3] = _IGNORE
    batch = {
        "image": tf.constant(random.uniform(0, 255, (images, size, size, 3)), tf.float32),
        "label": tf.constant(label),
    }
    step = learner.train_step(_IGNORE)
    before = _weights(learner.model)
    start = time.perf_counter()
    loss = float(step(batch).loss)
    first_seconds = time.perf_counter() - start
    moved = _weights(learner.model) - before
    start = time.perf_counter()
    float(step(batch).loss)
    return Outcome(loss, moved, first_seconds, time.perf_counter() - start)


def _weights(model: deeplab.models.DeepLabModel) -> np.ndarray:
    return np.concatenate([v.numpy().ravel() for v in variables_by_path(model).values()])


if __name__ == "__main__":
    main()
