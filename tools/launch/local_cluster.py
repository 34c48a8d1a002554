#!/usr/bin/env python3
"""Starts N workers of one training run on this machine, connected over loopback.

    python tools/launch/local_cluster.py --workers=2 -- deeplab train --gin_file=... --model_dir=...

Each line of a worker is printed with its number in front. Ctrl-C and SIGTERM are passed on, so that
the run saves and stops. When a worker fails, the others end by themselves; those that do not within
a minute are killed. The exit code is that of the first worker that ended with another than 0.

With GPUs each worker would take all of them: on one machine use --strategy=mirrored instead, or
--gpus_per_worker. Run so far: on CPUs, with 2 and 3 workers (tests/test_launch.py). Not run: GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

LAST_SECONDS = 60.0


def main() -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2, help="how many processes")
    parser.add_argument(
        "--gpus_per_worker",
        type=int,
        default=None,
        help="GPUs that each worker sees, taken in order; without it all see all",
    )
    parser.add_argument("command", nargs="+", help="after --: the command of every worker")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")
    addresses = free_addresses(arguments.workers)
    processes = [
        subprocess.Popen(
            arguments.command,
            env=environment(addresses, index, arguments.gpus_per_worker),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # signals of the terminal reach it through us, once
        )
        for index in range(arguments.workers)
    ]

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    printers = [
        threading.Thread(target=print_lines, args=(index, process), daemon=True)
        for index, process in enumerate(processes)
    ]
    for printer in printers:
        printer.start()
    code = wait(processes)
    for printer in printers:
        printer.join(timeout=5)
    return code


def free_addresses(count: int) -> list[str]:
    """Addresses on loopback that nobody listens at just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def environment(addresses: list[str], index: int, gpus: int | None) -> dict[str, str]:
    """The variables of a worker."""
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    variables = {**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1"}
    if gpus is not None:
        own = range(index * gpus, (index + 1) * gpus)
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, own))
    return variables


def print_lines(index: int, process: subprocess.Popen[str]) -> None:
    """Prints what a worker prints, until it ends."""
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(f"[{index}] {line}")
        sys.stdout.flush()


def wait(processes: list[subprocess.Popen[str]]) -> int:
    """Waits for all; once one has failed, not for long."""
    first = 0
    deadline = None
    while None in [process.poll() for process in processes]:  # a list: each must be asked
        if not first:
            first = next((p.returncode for p in processes if p.returncode), 0)
            deadline = time.monotonic() + LAST_SECONDS if first else None
        if deadline is not None and time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.1)
    first = first or next((p.returncode for p in processes if p.returncode), 0)
    return 128 - first if first < 0 else first  # as a shell says it: 137 after SIGKILL


if __name__ == "__main__":
    sys.exit(main())
