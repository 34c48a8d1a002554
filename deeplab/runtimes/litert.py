"""LiteRT (.tflite) files, run by LiteRT's interpreter."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.extras import needs_extra
from deeplab.runtimes import metadata
from deeplab.runtimes.padding import padded
from deeplab.runtimes.runtime import Images, Runtime
from deeplab.stderr import stderr_held_back

_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every file
# What reading at a wrong offset can end in.
_DAMAGE = (AttributeError, LookupError, OverflowError, TypeError, ValueError, struct.error)
# Signature -> the name of its output.
_SIGNATURES = {"serving_default": "classes", "logits": "logits"}


def open_file(path: Path) -> Runtime:
    """Opens an exported `.tflite` file.

    Raises:
        DeepLabError: if it is no such file, or LiteRT is not installed.
    """
    stated = read_metadata(path)
    with needs_extra("litert", f"running {path}"):
        from ai_edge_litert.interpreter import Interpreter
    try:
        with stderr_held_back(shown_after_error=False):  # it tells of its parts
            interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _damaged(path) from error
    if not interpreter.get_signature_list().keys() >= _SIGNATURES.keys():
        raise DeepLabError(f"{path} is no export of deeplab: a signature is missing")
    shape = interpreter.get_input_details()[0]["shape_signature"]
    fixed_size = (int(shape[1]), int(shape[2])) if (shape[1:3] > 0).all() else None
    classes, logits = (
        _signature(interpreter, signature, one_by_one=shape[0] == 1) for signature in _SIGNATURES
    )
    if fixed_size is not None:
        classes, logits = (
            padded(function, fixed_size, stated.pad_value, limit=f"{path.name} takes:")
            for function in (classes, logits)
        )
    return Runtime(path, stated, classes, logits, fixed_size)


def read_metadata(path: Path) -> metadata.Metadata:
    """What a file says of itself.

    Raises:
        DeepLabError: as `open_file`.
    """
    with needs_extra("litert", f"running {path}"):
        from ai_edge_litert import schema_py_generated as schema
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DeepLabError(f"{path} cannot be read: {error.strerror}") from error
    if content[4:8] != _IDENTIFIER:
        raise _damaged(path)
    try:
        model = schema.Model.GetRootAs(content)
        entries = [model.Metadata(index) for index in range(model.MetadataLength())]
        texts = [
            model.Buffers(entry.Buffer()).DataAsNumpy().tobytes().decode("utf-8")
            for entry in entries
            if entry.Name() == metadata.NAME.encode()
        ]
    except _DAMAGE as error:
        raise _damaged(path) from error
    return metadata.parse(texts[0] if texts else None, path)


def _damaged(path: Path) -> DeepLabError:
    return DeepLabError(f"{path} is no LiteRT (.tflite) file, or it is damaged")


def _signature(interpreter: Any, name: str, *, one_by_one: bool) -> Callable[[Images], np.ndarray]:
    runner, output = interpreter.get_signature_runner(name), _SIGNATURES[name]

    def run(images: Images) -> np.ndarray:
        if one_by_one and len(images) > 1:
            return np.concatenate([run(image[np.newaxis]) for image in images])
        return runner(images=images)[output]

    return run
