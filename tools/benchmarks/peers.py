"""Processes that measure in turns: each holds one system, and works when it is told to.

A worker prepares once and then makes a call for every line that it reads, so that systems which
keep threads and memory of their own share a run without sharing a process. Those of the peers live
in an environment of their own:

    python -m venv peers
    peers/bin/pip install torch segmentation_models_pytorch onnx onnxscript onnxruntime openvino
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from process_memory import resident


class Measured(NamedTuple):
    """What the calls of a system took.

    Attributes:
        seconds: of each round.
        growth: of the resident memory of its process at most, bytes.
    """

    seconds: list[float]
    growth: int

    @property
    def median(self) -> float:
        """Seconds of a typical call."""
        return statistics.median(self.seconds)


def serve(run: Callable[[], object], before: int = 0) -> None:
    """The loop of a worker: a line in, a call, its seconds and the growth of memory out.

    Args:
        run: a call.
        before: resident memory from which growth counts, bytes.
    """
    run()  # traces, allocates
    run()
    sys.stdout.flush()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        print(seconds, resident("VmHWM") - before, flush=True)


def take_turns(commands: dict[str, Sequence[str | Path]], rounds: int) -> dict[str, Measured]:
    """Starts a worker for each command, and lets each make a call a round.

    Args:
        commands: of workers, by the name of the system.
        rounds: how many.

    Returns:
        What those measured that could be started; the others are named on standard error.
    """
    threads = {f"{name}_NUM_THREADS": str(os.cpu_count()) for name in ("OMP", "MKL")}
    environment = {**os.environ, **threads, "OMP_WAIT_POLICY": "PASSIVE"}
    with contextlib.ExitStack() as stack:
        workers = {}
        for name, words in commands.items():
            worker = stack.enter_context(_worker(words, environment))
            if _answer(worker) == ["ready"]:
                workers[name] = worker
            else:
                print(f"{name}: could not be prepared", file=sys.stderr, flush=True)
        found: dict[str, list[list[float]]] = {name: [] for name in workers}
        for _ in range(rounds):
            for name, worker in workers.items():
                assert worker.stdin is not None
                worker.stdin.write("go\n")
                worker.stdin.flush()
                found[name].append([float(word) for word in _answer(worker)])
    return {
        name: Measured([seconds for seconds, _ in rows], int(max(growth for _, growth in rows)))
        for name, rows in found.items()
    }


@contextlib.contextmanager
def _worker(
    words: Sequence[str | Path], environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _answer(worker: subprocess.Popen[str]) -> list[str]:
    """The words of the next line that is an answer; libraries print others. None at the end."""
    assert worker.stdout is not None
    for line in worker.stdout:
        words = line.split()
        if words == ["ready"] or (len(words) == 2 and words[1].isdigit()):
            return words
    return []


def gemm_rate(size: int = 2048, seconds: float = 3.0) -> float:
    """Multiply-adds per second of float32 matrix products, the fastest of those in some seconds."""
    import tensorflow as tf

    a, b = (tf.random.uniform([size, size]) for _ in range(2))
    tf.matmul(a, b).numpy()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        tf.matmul(a, b).numpy()
        times.append(time.perf_counter() - start)
    return size**3 / min(times)


def processor() -> str:
    """The model of the processor, as Linux names it."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} cores"
