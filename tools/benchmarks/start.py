#!/usr/bin/env python3
"""How long one photograph takes from a cold start, beside the shortest scripts that do the same.

Each system is a process of its own that segments one photograph of 375x500 pixels with an export
of the same MobileNetV2 and writes the mask; `deeplab predict` also writes two pictures. They take
turns.

    python tools/benchmarks/start.py
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from random_export import write_exports

# Each reads sys.argv[1], the export, and photo.jpg, and writes mask.png.
SCRIPTS = {
    "saved_model": """
import sys
import numpy as np
import tensorflow as tf
from PIL import Image

model = tf.saved_model.load(sys.argv[1])
image = np.asarray(Image.open("photo.jpg").convert("RGB"))
classes = model.signatures["serving_default"](images=tf.constant(image[None]))["classes"]
Image.fromarray(classes.numpy()[0].astype(np.uint8)).save("mask.png")
""",
    "onnx": """
import sys
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
image = np.asarray(Image.open("photo.jpg").convert("RGB"))
(classes,) = session.run(["classes"], {"images": image[None]})
Image.fromarray(classes[0].astype(np.uint8)).save("mask.png")
""",
    "litert": """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

run = Interpreter(model_path=sys.argv[1], num_threads=2).get_signature_runner("serving_default")
image = np.asarray(Image.open("photo.jpg").convert("RGB"))
padded = np.full((1, 513, 513, 3), 127, np.uint8)
padded[0, : image.shape[0], : image.shape[1]] = image
classes = run(images=padded)["classes"][0, : image.shape[0], : image.shape[1]]
Image.fromarray(classes.astype(np.uint8)).save("mask.png")
""",
}


def main() -> None:
    """Prints medians, and the median of the ratios of each round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--formats", default=",".join(SCRIPTS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(coarse).resize((500, 375)).save(folder / "photo.jpg")
        exports = write_exports(folder, "mobilenet_v2", arguments.formats.split(","))
        commands = {}
        for kind, path in exports.items():
            words = [f"--{kind}={path}", "--input=photo.jpg", "--output_dir=out", "--overwrite"]
            commands[f"deeplab predict --{kind}"] = ["-m", "deeplab", "predict", *words]
            commands[f"script, {kind}"] = ["-c", SCRIPTS[kind], str(path)]
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for turn in range(arguments.rounds + 1):
            for name, words in commands.items():
                times = _run(words, folder)
                if turn:  # the first one fills the caches of the disk
                    rows[name].append(times)
    print("| | seconds | fastest | processor seconds | of the script |")
    print("|---|---|---|---|---|")
    for name, times in rows.items():
        walls, processors = (list(column) for column in zip(*times, strict=True))
        script = rows[f"script, {name.split()[-1].removeprefix('--')}"]
        ratio = statistics.median(a[0] / b[0] for a, b in zip(times, script, strict=True))
        print(
            f"| `{name}` | {statistics.median(walls):.2f} | {min(walls):.2f} | "
            f"{statistics.median(processors):.2f} | {ratio:.2f} |"
        )


def _run(words: list[str], folder: Path) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return seconds, used


if __name__ == "__main__":
    main()
