"""`export.json`: what was written, how far it is from the model and how long an image takes."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich.box
import rich.console
import rich.table

import deeplab
from deeplab import files
from deeplab.export.verify import Accuracy, Verification

FILE = "export.json"


def write(folder: Path, verification: Verification, *, file: str, **entries: Any) -> None:
    """Writes the record of an export beside its file.

    Args:
        folder: of the export.
        verification: of the file.
        file: its name.
        entries: what else there is to say of the format.
    """
    values = {
        "file": file,
        "size_bytes": (folder / file).stat().st_size,
        "compared": {
            "images": verification.images,
            "num_images": verification.num_images,
            "difference": verification.difference,
            "changed_pixels": verification.changed_pixels,
        },
        "miou": verification.accuracy and verification.accuracy._asdict(),
        "time": {
            "milliseconds": verification.milliseconds,
            "size": verification.timed_size,
            "processor": _processor(),
            "cores": os.cpu_count(),
        },
        "version": deeplab.__version__,
        **entries,
    }
    files.write_text(folder / FILE, json.dumps(values, indent=2) + "\n")


def table(folders: Mapping[str, str | Path], verifications: Mapping[str, Verification]) -> str:
    """A line per format, for a terminal: size, difference from the model, time."""
    lines = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False)
    lines.add_column("format")
    for heading in ("size", "difference", "pixels changed", "time per image"):
        lines.add_column(heading, justify="right")
    # Where numbers are so coarse that the differences alone do not tell how good a file is.
    if "litert_int8" in verifications:
        lines.add_column("mIoU (model)", justify="right")
    for name, verification in verifications.items():
        changed, milliseconds = verification.changed_pixels, verification.milliseconds
        lines.add_row(
            name,
            f"{_size(folders[name]) / 1e6:.2f} MB",
            f"{verification.difference:.1e}",
            "" if changed is None else f"{changed:.3%}",
            "" if milliseconds is None else _time(milliseconds, verification.timed_size),
            *([_miou(verification.accuracy)] if name == "litert_int8" else []),
        )
    console = rich.console.Console(width=100, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(lines)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _miou(accuracy: Accuracy | None) -> str:
    if accuracy is None:
        return "not measured"
    export, model = (f"{value:.2%}" if value is not None else "-" for value in accuracy[:2])
    return f"{export} ({model}), {accuracy.num_images} images"


def _time(milliseconds: float, size: tuple[int, int] | None) -> str:
    height, width = size or (0, 0)
    return f"{milliseconds:.0f} ms ({height}x{width})"


def _size(folder: str | Path) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _processor() -> str:
    """The name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
