#!/usr/bin/env python3
"""Time and memory of segmenting a large GeoTIFF file by windows.

    python tools/benchmarks/large_raster.py --size=20000 -- --onnx=model.onnx --window=513

Makes a file of colored blocks with noise, in a temporary folder, and runs `deeplab predict` on it
with the flags behind `--`.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

_ROWS = 500  # written at a time
_BLOCK = 50  # pixels of one color


def main() -> None:
    """Prints a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--size", type=int, default=20_000, help="height and width in pixels")
    parser.add_argument("--folder", help="where there is room; the system's temporary folder")
    parser.add_argument("flags", nargs="+", help="of deeplab predict: the model, the window")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        image = Path(folder, "large.tif")
        _write_raster(image, arguments.size)
        words = [f"--input={image}", f"--output_dir={folder}/masks", *arguments.flags]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "deeplab", "predict", *words], check=True)
        seconds = time.perf_counter() - start
        written = sum(path.stat().st_size for path in Path(folder, "masks").iterdir())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    size = f"{arguments.size}x{arguments.size}"
    print(
        f"{size}: {seconds:.0f} s, peak memory {peak:.2f} GB, {written / 2**20:.0f} MB of results"
    )


def _write_raster(path: Path, size: int) -> None:
    generator = np.random.default_rng(0)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=3,
        height=size,
        width=size,
        dtype="uint8",
        photometric="RGB",
        tiled=True,
        compress="deflate",
        crs="EPSG:32632",
        transform=rasterio.Affine(0.2, 0, 691_000, 0, -0.2, 5_335_000),
    ) as file:
        for top in range(0, size, _ROWS):
            rows = min(_ROWS, size - top)
            blocks = -(-rows // _BLOCK), -(-size // _BLOCK)
            colors = generator.integers(0, 200, (3, *blocks), np.uint8)
            band = colors.repeat(_BLOCK, 1).repeat(_BLOCK, 2)[:, :rows, :size]
            noise = generator.integers(0, 50, band.shape, np.uint8)
            file.write(band + noise, window=Window(0, top, size, rows))


if __name__ == "__main__":
    main()
