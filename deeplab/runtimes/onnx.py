"""ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.extras import needs_extra
from deeplab.runtimes import metadata
from deeplab.runtimes.runtime import Images, Runtime

# TensorRT, which is not among them, takes minutes for every new size of images.
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_FATAL_ALONE = 4  # errors are raised as well


def open_file(path: Path) -> Runtime:
    """Opens an exported `.onnx` file.

    Raises:
        DeepLabError: if it is no such file, or ONNX Runtime is not installed.
    """
    session = _session(path, optimized=True)
    return Runtime(
        path,
        _metadata(session, path),
        classes=_output(session, "classes"),
        logits=_output(session, "logits"),
    )


def read_metadata(path: Path) -> metadata.Metadata:
    """What a file says of itself.

    Raises:
        DeepLabError: as `open_file`.
    """
    return _metadata(_session(path, optimized=False), path)


def _metadata(session: Any, path: Path) -> metadata.Metadata:
    return metadata.parse(session.get_modelmeta().custom_metadata_map.get(metadata.NAME), path)


def _session(path: Path, *, optimized: bool) -> Any:
    with needs_extra("onnx", f"running {path}"):
        import onnxruntime
    if not path.is_file():
        raise DeepLabError(f"there is no file {path}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ALONE
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    available = set(onnxruntime.get_available_providers())
    providers = [provider for provider in _PROVIDERS if provider in available]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its errors have no common class
        raise DeepLabError(f"{path} is no ONNX file that can be run, or it is damaged") from error


def _output(session: Any, name: str) -> Callable[[Images], np.ndarray]:
    def run(images: Images) -> np.ndarray:
        try:
            (result,) = session.run([name], {"images": images})
        except Exception as error:
            if "alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise
        return result

    return run
