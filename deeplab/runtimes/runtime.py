"""The one interface of everything that runs an exported network."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from deeplab.errors import unknown_name
from deeplab.runtimes.metadata import Metadata

Images = npt.NDArray[np.uint8]  # [B, H, W, channels], the first three of them RGB
ClassIds = npt.NDArray[np.int32]  # [B, H, W]
Logits = npt.NDArray[np.float32]  # [B, H, W, C]

# Each is a module of this folder, which is imported when a file of its kind is opened.
RUNTIMES = ("litert", "onnx", "saved_model")


@dataclasses.dataclass(frozen=True)
class Runtime:
    """An opened export.

    Attributes:
        path: the file or folder.
        metadata: what it says of itself.
        classes: images of any size and number -> class ids.
        logits: images -> logits.
        fixed_size: height and width that the network sees, if there is only one: smaller images are
            padded at the bottom and right and the result is cropped, larger ones are refused; None:
            any size.
    """

    path: Path
    metadata: Metadata
    classes: Callable[[Images], ClassIds]
    logits: Callable[[Images], Logits]
    fixed_size: tuple[int, int] | None = None


def open_runtime(kind: str, path: str | Path) -> Runtime:
    """Opens an export.

    Args:
        kind: one of `RUNTIMES`.
        path: of the file, or of the SavedModel's folder.

    Raises:
        DeepLabError: if it is no such export, is damaged, or the package that runs it is not
            installed.
    """
    runtime: Runtime = _module(kind).open_file(Path(path))
    return runtime


def read_metadata(kind: str, path: str | Path) -> Metadata:
    """What an export says of itself, without loading what runs it.

    Raises:
        DeepLabError: as `open_runtime`.
    """
    metadata: Metadata = _module(kind).read_metadata(Path(path))
    return metadata


def _module(kind: str) -> ModuleType:
    if kind not in RUNTIMES:
        raise unknown_name("runtime", kind, RUNTIMES)
    return importlib.import_module(f"deeplab.runtimes.{kind}")
