#!/usr/bin/env python3
"""Runs a training step that `stablehlo_step.py` wrote, with JAX alone, and times it.

    python -m pip install jax==0.10.2            # jax[cuda12]==0.10.2 for a GPU
    python stablehlo_run.py DIR --platform=cpu --steps=3

Prints the losses beside TensorFlow's, and ends with 1 if they differ. Steps beyond those are timed.
Tried with jax 0.10.2 on a CPU; not run on a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

# What is allowed beside ten times what rounding does to TensorFlow's own losses; that grows from
# step to step, the more the fewer pixels batch norm sees.
_TOLERANCE = 1e-5


def main() -> int:
    """Prints a line a step, and the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--platform", default="cpu", help="cpu, cuda or tpu")
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()

    jax.config.update("jax_enable_x64", True)  # the number of the step is int64
    device = jax.devices(arguments.platform)[0]
    description = json.loads((arguments.folder / "step.json").read_text())
    with np.load(arguments.folder / "inputs.npz") as file:
        values = [jax.device_put(file[name], device) for name in file.files]
    start = time.perf_counter()
    run = _compiled((arguments.folder / "step.stablehlo").read_bytes(), device)
    print(f"{device}: compiled in {time.perf_counter() - start:.1f} s")

    expected = description.get("losses", [])
    if not expected:
        print("nothing to compare with: the step has dropout")
    noise = description.get("losses_of_noise", [])
    seconds, differs = [], False
    for step in range(arguments.steps):
        start = time.perf_counter()
        outputs = run(values)
        loss = float(outputs[description["results"].index("loss")])  # waits for the device
        seconds.append(time.perf_counter() - start)
        line = f"step {step + 1}: loss {loss:.7f}"
        if step < len(expected):
            difference = abs(loss / expected[step] - 1)
            rounding = abs(noise[step] / expected[step] - 1)
            differs |= not difference <= _TOLERANCE + 10 * rounding
            line += f", in TensorFlow {expected[step]:.7f}; relative difference {difference:.1e}"
            line += f", of rounding there {rounding:.1e}"
        print(line)
        values = [
            value if row["output"] is None else outputs[row["output"]]
            for row, value in zip(description["inputs"], values, strict=True)
        ]
    typical = statistics.median(seconds[1:] or seconds)
    print(f"{1000 * typical:.1f} ms a step, {description['images'] / typical:.1f} images/s")
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    if peak is not None:
        print(f"{peak / 1e9:.2f} GB at most")
    return int(differs)


def _compiled(program: bytes, device: jax.Device) -> Callable[[list[Any]], list[Any]]:
    """The one place of names that JAX does not promise to keep."""
    from jax.extend.backend import get_backend
    from jaxlib._jax import DeviceList
    from jaxlib.xla_client import CompileOptions

    client = get_backend(device.platform)
    executable = client.compile_and_load(program, DeviceList((device,)), CompileOptions())

    def run(values: list[Any]) -> list[Any]:
        shards = executable.execute_sharded(values).disassemble_into_single_device_arrays()
        return [array for (array,) in shards]

    return run


if __name__ == "__main__":
    sys.exit(main())
