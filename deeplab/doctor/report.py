"""What `doctor` prints, and the problems that it found."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deeplab
from deeplab.doctor import packages
from deeplab.errors import DeepLabError
from deeplab.keras_backend import require_tensorflow

_PROBE = "deeplab.doctor.probe"
_DRIVER = Path("/proc/driver/nvidia/version")

Row = tuple[str, str]


def examine() -> tuple[str, list[str]]:
    """Looks at the packages and at the machine.

    Returns:
        The report, and a line for each problem.
    """
    probed = _probe()
    parts = (
        ("versions", _versions()),
        ("extras", _extras()),
        ("machine", _machine(probed)),
    )
    lines = [
        line
        for title, rows in parts
        for line in ("", title, *(f"  {name:<22}{value}" for name, value in rows))
    ]
    return "\n".join(lines[1:]), list(_problems(probed))


def _versions() -> Iterator[Row]:
    yield packages.PACKAGE, deeplab.__version__
    yield "python", f"{platform.python_version()} ({sys.executable})"
    for name in packages.SHOWN:
        yield name, packages.version(name) or "not installed"


def _extras() -> Iterator[Row]:
    extras = packages.extras()
    if not extras:
        yield "not known", f"{packages.PACKAGE} runs from a folder, it is not installed"
    for name, missing in extras.items():
        how = f"needs {', '.join(missing)}: pip install '{packages.PACKAGE}[{name}]'"
        yield name, how if missing else "installed"


def _machine(probed: dict[str, Any]) -> Iterator[Row]:
    yield "system", platform.platform()
    # Not os.cpu_count(): a container or a scheduler may leave fewer.
    yield "cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?")
    if "devices" not in probed:
        yield "devices", "not known: TensorFlow does not import"
        return
    yield "devices", ", ".join(probed["devices"])
    within, between = (str(count or "one per core") for count in probed["threads"])
    yield "threads", f"{within} within an operation, {between} for operations"
    setting = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    origin = "TensorFlow's choice" if setting is None else f"TF_ENABLE_ONEDNN_OPTS={setting}"
    yield "oneDNN", f"{'on' if probed['onednn'] else 'off'} ({origin})"


def _problems(probed: dict[str, Any]) -> Iterator[str]:
    yield from packages.problems()
    if failed := probed.get("failed"):
        yield f"{failed['module']} does not import: {_first_line(failed['error'])}"
    try:
        require_tensorflow()
    except DeepLabError as error:
        yield str(error)
    has_gpu = any(name.startswith("GPU") for name in probed.get("devices", ["GPU"]))
    if _DRIVER.exists() and not has_gpu and "CUDA_VISIBLE_DEVICES" not in os.environ:
        yield (
            "there is an NVIDIA driver, but TensorFlow sees no GPU: pip install "
            f"'{packages.PACKAGE}[cuda]'"
        )


def _probe() -> dict[str, Any]:
    """What a process of its own found; TensorFlow may end it, for lack of an instruction."""
    # Where this package lies is not always where Python looks in a new process.
    paths = [str(Path(deeplab.__file__).parents[1]), os.environ.get("PYTHONPATH")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "KERAS_BACKEND": "tensorflow",
    }
    result = subprocess.run(
        [sys.executable, "-m", _PROBE], env=environment, capture_output=True, text=True
    )
    lines = result.stdout.splitlines()
    if result.returncode == 0 and lines:
        return json.loads(lines[-1])
    error = f"the process ended with {result.returncode}"
    return {"failed": {"module": "tensorflow", "error": error}}


def _first_line(text: str) -> str:
    return " ".join(text.strip().split("\n", 1)[0].split())
