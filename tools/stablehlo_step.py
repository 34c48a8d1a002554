#!/usr/bin/env python3
"""Writes the training step of a gin file as StableHLO, for machines that have no TensorFlow.

    python tools/stablehlo_step.py --gin_file=runs/shapes_mobilenet_v2.gin \
      --gin_bindings="DROPOUT_RATE=0.0" --output_dir=step
    python tools/stablehlo_run.py step

`stablehlo_run.py` is one file that needs JAX alone; copy it along with the folder:

    step.stablehlo   the step as XLA would compile it; weights, optimizer and batch are inputs
    inputs.npz       their values, by position: fresh weights of SEED, and a batch of random images
    step.json        their names, what becomes of each, and the losses of the first steps

No data set is read. The losses are those of the plain step in TensorFlow, with the same batch each
time, twice: the second time every pixel is off by as little as rounding, which shows how far losses
may differ. With dropout there are none: compiled steps draw other random numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import ml_dtypes
import numpy as np
import tensorflow as tf

import deeplab
from deeplab.configuration import read_configuration
from deeplab.errors import DeepLabError
from deeplab.files import make_directory, write_bytes, write_text
from deeplab.models import with_input_channels, with_num_classes
from deeplab.training.learner import Learner, make_learner
from deeplab.training.step import StepResult

# In the text of HLO: output number and number of the parameter whose memory it takes.
_ALIAS = re.compile(r"\{(\d+)\}: \((\d+), \{\}")


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--gin_file", action="append", required=True)
    parser.add_argument("--gin_bindings", action="append", default=[])
    parser.add_argument("--num_classes", type=int, help="for a data set that does not state it")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3, help="whose losses are written")
    arguments = parser.parse_args()
    try:
        config = read_configuration(arguments.gin_file, arguments.gin_bindings).train
        size = write_step(config, arguments.output_dir, arguments.steps, arguments.num_classes)
    except DeepLabError as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    print(f"wrote a step of {size / 1e3:.0f} kB to {arguments.output_dir}")


def write_step(
    config: deeplab.TrainConfig, folder: Path, steps: int, num_classes: int | None = None
) -> int:
    """Writes the step of a configuration.

    Args:
        config: of one device.
        folder: made if it does not exist.
        steps: how many losses to compute.
        num_classes: of a data set that has no fixed class list.

    Returns:
        The size of the program in bytes.

    Raises:
        DeepLabError: if the class count is not known, or is another than the data set's.
    """
    spec = deeplab.DATASETS[config.data.dataset]
    classes = len(spec.class_names) if spec.class_names else num_classes
    if classes is None:
        raise DeepLabError(
            f"the data set {spec.name!r} does not state its classes: --num_classes=N"
        )
    network = with_num_classes(config.model, classes, source=f"the data set {spec.name!r}")
    network = with_input_channels(network, network.input_channels or 3, source="this tool")
    learner = make_learner(config, network, tf.distribute.OneDeviceStrategy("/cpu:0"))
    batch = _batch(config, network, spec.ignore_label)
    step = learner.train_step(spec.ignore_label)
    compiled = tf.function(step.python_function, jit_compile=True)
    variables = _captured(learner, compiled.get_concrete_function(batch))
    lower = compiled.experimental_get_compiler_ir(batch)
    # Without a device of another kind TensorFlow lowers for the CPU; the result names no device.
    program = lower(stage="stablehlo_serialized", platform_name="CPU")
    outputs = {int(b): int(a) for a, b in _ALIAS.findall(lower(stage="hlo", platform_name="CPU"))}
    values = {name: np.asarray(value) for name, value in {**batch, **variables}.items()}
    description = {
        "results": StepResult._fields,
        "inputs": [
            # What the next step gets in its place: an output of this one, or the same again.
            {"name": name, "output": outputs.get(index)}
            for index, name in enumerate(values)
        ],
        "images": config.global_batch_size,
    }
    make_directory(folder)
    np.savez(folder / "inputs.npz", *values.values())
    if config.model.dropout_rate == 0:
        description["losses"] = [float(step(batch).loss) for _ in range(steps)]
        for name, variable in variables.items():
            variable.assign(values[name])
        noisy = {**batch, "image": _rounded(batch["image"], config.precision)}
        description["losses_of_noise"] = [float(step(noisy).loss) for _ in range(steps)]
    write_bytes(folder / "step.stablehlo", program)
    write_text(folder / "step.json", json.dumps(description, indent=1))
    return len(program)


def _batch(
    config: deeplab.TrainConfig, network: deeplab.ModelConfig, ignore_label: int
) -> dict[str, tf.Tensor]:
    """Noise, with labels in cells of 16 pixels and an ignored border."""
    count, (height, width) = config.global_batch_size, config.data.crop_height_width
    random = np.random.default_rng(config.seed)
    shape = (count, -(-height // 16), -(-width // 16))
    labels = random.integers(0, network.num_classes, shape, np.int32).repeat(16, 1).repeat(16, 2)
    labels = labels[:, :height, :width]
    labels[:, :2] = ignore_label
    images = random.uniform(0, 255, (count, height, width, network.input_channels))
    return {"image": tf.constant(images, tf.float32), "label": tf.constant(labels)}


def _rounded(images: tf.Tensor, precision: str) -> tf.Tensor:
    """Images of which every pixel is off by the last digit of the type that layers compute in."""
    last_digit = float(ml_dtypes.finfo(precision.removeprefix("mixed_")).eps)
    signs = np.random.default_rng(0).choice((-1.0, 1.0), images.shape)
    return images * tf.constant(1 + last_digit * signs, tf.float32)


def _captured(learner: Learner, step: Any) -> dict[str, Any]:
    """The variables of a traced step in the order of its inputs, by name."""
    names = {}
    for group, variables in learner.checkpoint_groups().items():
        for path, variable in variables.items():
            own = variable.value if isinstance(variable, keras.Variable) else variable
            names[id(own.handle)] = f"{group}/{path}"
    by_handle = {id(variable.handle): variable for variable in step.graph.variables}
    return {names[id(handle)]: by_handle[id(handle)] for handle in step.captured_inputs}


if __name__ == "__main__":
    main()
