#!/usr/bin/env python3
"""Times the input pipeline against others: same files, same augmentation, one run.

python tools/benchmarks/input_pipeline.py
python tools/benchmarks/input_pipeline.py --images=DIR --labels=DIR --json=result.json

Each system runs in a process of its own, one at a time, in turns for several rounds; medians and
the median of the ratios round by round are printed. Without --images, scenes of the built-in data
set `shapes` are drawn and enlarged to the size of photographs.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import input_feeds

if TYPE_CHECKING:
    from PIL.Image import Image

OURS = "deeplab"
OURS_UNCACHED = "deeplab, cache='none'"


class System(NamedTuple):
    """A row of the table: how its batches are made, and what must be installed for it."""

    feed: Callable[..., Iterator[int]]
    needs: tuple[str, ...]
    is_peer: bool = False


def _deeplab(cache: str, end: str) -> System:
    feed = functools.partial(input_feeds.ours, cache=cache, end=end)
    return System(feed, ("tensorflow", "tensorflow_datasets"))


def _loader(feed: Callable[..., Iterator[int]], workers: int, *needs: str) -> System:
    return System(functools.partial(feed, workers=workers), ("torch", *needs), True)


SYSTEMS = {
    # As it is when nothing is set: small sets are kept decoded.
    OURS: _deeplab("auto", "step"),
    OURS_UNCACHED: _deeplab("none", "step"),
    "  batches of 0..255": _deeplab("none", "batch"),
    "  reading and decoding alone": _deeplab("none", "decode"),
    "  normalization alone": _deeplab("none", "normalize"),
    "plain tf.data": System(input_feeds.plain_tf_data, ("tensorflow",), True),
    "torchvision v2, 1 worker": _loader(input_feeds.torchvision, 1, "torchvision"),
    "torchvision v2, 2 workers": _loader(input_feeds.torchvision, 2, "torchvision"),
    "albumentations + OpenCV, 1 worker": _loader(
        input_feeds.albumentations, 1, "albumentations", "cv2"
    ),
    "albumentations + OpenCV, 2 workers": _loader(
        input_feeds.albumentations, 2, "albumentations", "cv2"
    ),
}
PACKAGES = {"cv2": "opencv-python-headless", "tensorflow_datasets": "tensorflow-datasets"}


class Measured(NamedTuple):
    """One round of one system."""

    images_per_second: float
    cpu_ms_per_image: float
    memory_mb: float


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--images", type=Path, help="a folder of JPEG files")
    parser.add_argument("--labels", type=Path, help="a folder of index masks of the same names")
    parser.add_argument("--crop_size", type=int, default=513)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--json", type=Path, help="where to write all numbers")
    parser.add_argument("--child", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments)
    if (arguments.images is None) != (arguments.labels is None):
        parser.error("--images and --labels go together")
    systems = []
    for name, system in SYSTEMS.items():
        absent = [need for need in system.needs if importlib.util.find_spec(need) is None]
        if absent:
            names = " ".join(PACKAGES.get(need, need) for need in absent)
            print(f"skipped: {name} (pip install {names})")
        else:
            systems.append(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(folder, arguments.images, arguments.labels)
        rounds: dict[str, list[Measured]] = {name: [] for name in systems}
        for number in range(arguments.rounds):
            for name in systems:
                print(f"round {number + 1} of {arguments.rounds}: {name}", file=sys.stderr)
                rounds[name].append(measure(name, folder, arguments))
    print_table(rounds, arguments)
    if arguments.json:
        rows = {name: [row._asdict() for row in rows] for name, rows in rounds.items()}
        arguments.json.write_text(json.dumps({"cores": cores(), "rounds": rows}, indent=1) + "\n")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def write_files(folder: Path, images: Path | None, labels: Path | None) -> None:
    """Fills images/train and labels/train with JPEG files and gray PNG masks."""
    import numpy as np

    for kind in ("images", "labels"):
        (folder / kind / "train").mkdir(parents=True)
    highest = 0
    for name, image, label in _chosen(images, labels) if images and labels else _drawn():
        (folder / "images" / "train" / f"{name}.jpg").write_bytes(image)
        label.save(folder / "labels" / "train" / f"{name}.png")
        ids = np.asarray(label)
        highest = max(highest, int(ids[ids != input_feeds.IGNORE].max(initial=0)))
    classes = {"classes": [f"class {number}" for number in range(highest + 1)]}
    (folder / "classes.json").write_text(json.dumps(classes))
    # Every data set has a split to evaluate on; here it is one pair that nobody reads.
    for kind in ("images", "labels"):
        first = min((folder / kind / "train").iterdir())
        (folder / kind / "val").mkdir()
        shutil.copy(first, folder / kind / "val" / first.name)


def _chosen(images: Path, labels: Path) -> Iterator[tuple[str, bytes, Image]]:
    import numpy as np
    from PIL import Image

    files = sorted(images.glob("*")) if images.is_dir() else []
    files = [path for path in files if path.suffix.lower() in (".jpg", ".jpeg")]
    if not files:
        raise SystemExit(f"no JPEG files in {images}")
    for path in files:
        label = Image.open(labels / f"{path.stem}.png")
        yield path.stem, path.read_bytes(), Image.fromarray(np.asarray(label))  # drops a palette


def _drawn() -> Iterator[tuple[str, bytes, Image]]:
    from PIL import Image

    from deeplab.data.builders.shapes import encoded_scene

    for number in range(48):
        scene = encoded_scene("train", number)
        size = (500, 375) if number % 3 else (375, 500)
        image = Image.open(io.BytesIO(scene["image"])).resize(size, Image.Resampling.BICUBIC)
        label = Image.open(io.BytesIO(scene["label"])).resize(size, Image.Resampling.NEAREST)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
        yield f"{number:03d}", file.getvalue(), label


def child(arguments: argparse.Namespace) -> None:
    """Measures one system; the parent watches from outside.

    Warm-up is until as many images have come as fill every queue several times.
    """
    stream = SYSTEMS[arguments.child].feed(
        arguments.folder, arguments.crop_size, arguments.batch_size
    )
    count, start = 0, time.perf_counter()
    while count < 12 * arguments.batch_size or time.perf_counter() - start < 2:
        count += next(stream)
    print("begin", flush=True)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < arguments.seconds:
        count += next(stream)
    print(json.dumps([count, time.perf_counter() - start]), flush=True)
    sys.stdin.readline()
    os._exit(0)  # endless streams have workers that would have to be waited for


def measure(name: str, folder: Path, arguments: argparse.Namespace) -> Measured:
    """One system in a process of its own."""
    command = [sys.executable, __file__, f"--child={name}", f"--folder={folder}"]
    command += [f"--{key}={getattr(arguments, key)}" for key in ("crop_size", "batch_size")]
    command.append(f"--seconds={arguments.seconds}")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        ) as process,
    ):
        line = ""
        while line.strip() != "begin":
            line = process.stdout.readline()
            if not line:
                errors.seek(0)
                raise SystemExit(f"{name} failed:\n{errors.read()[-2000:]}")
        memory, over = [0.0], threading.Event()
        watcher = threading.Thread(target=_watch_memory, args=(process.pid, memory, over))
        before = sum(map(_cpu_seconds, _tree(process.pid)))
        watcher.start()
        images, seconds = json.loads(process.stdout.readline())
        cpu = sum(map(_cpu_seconds, _tree(process.pid))) - before
        over.set()
        watcher.join()
        process.communicate("\n")
    return Measured(images / seconds, 1000 * cpu / images, max(memory))


def _tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += map(int, (task / "children").read_text().split())
    return [pid, *(number for child in children for number in _tree(child))]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _watch_memory(pid: int, memory: list[float], over: threading.Event) -> None:
    """Collects the memory of a tree in megabytes; shared pages count once (PSS)."""
    while True:
        total = 0
        for number in _tree(pid):
            for line in Path(f"/proc/{number}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        memory.append(total / 1000)
        if over.wait(1.0):
            return


def print_table(rounds: dict[str, list[Measured]], arguments: argparse.Namespace) -> None:
    """Medians of the rounds, and how many times as fast ours is, round by round."""
    print(
        f"{cores()} cores, crop {arguments.crop_size}, batches of {arguments.batch_size}, "
        f"median of {arguments.rounds} rounds"
    )
    print(
        f"{'':36}{'images/s':>9}{'per core':>9}{'CPU ms':>8}{'MB':>7}{'ours is':>9}{'uncached':>10}"
    )
    medians = {}
    for name, rows in rounds.items():
        speed, cpu, memory = (statistics.median(column) for column in zip(*rows, strict=True))
        medians[name] = speed
        ratios = ""
        if SYSTEMS[name].is_peer and OURS in rounds:
            for ours, width in ((OURS, 8), (OURS_UNCACHED, 9)):
                pairs = zip(rounds[ours], rows, strict=True)
                ratios += f"{statistics.median(a[0] / b[0] for a, b in pairs):{width}.2f}x"
        print(f"{name:36}{speed:9.0f}{speed / cores():9.0f}{cpu:8.2f}{memory:7.0f}{ratios}")
    peers = {name: speed for name, speed in medians.items() if SYSTEMS[name].is_peer}
    if peers and OURS in medians:
        print(f"the best of the others: {max(peers, key=peers.__getitem__)}")


if __name__ == "__main__":
    main()
