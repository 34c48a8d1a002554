"""Reads `.safetensors` files (https://huggingface.co/docs/safetensors), whole or in shards."""

from __future__ import annotations

import functools
import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.extras import needs_extra
from deeplab.interop.hub.tensors import Tensor, Tensors
from deeplab.interop.report import list_of

# Types of the format that weights have, as NumPy calls them.
_TYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}


def open_safetensors(path: Path) -> Tensors:
    """The tensors of one file.

    Raises:
        DeepLabError: if it cannot be read or is cut short.
    """
    with needs_extra("hub", path):
        import safetensors
    try:
        with safetensors.safe_open(path, framework="tf") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            headers = {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}
    except (OSError, safetensors.SafetensorError) as error:
        raise DeepLabError(f"{path} cannot be read as safetensors: {error}") from error
    return {
        name: Tensor(shape, _TYPES.get(kind, kind), functools.partial(_read, path, name))
        for name, (shape, kind) in headers.items()
    }


def _read(path: Path, name: str) -> np.ndarray:
    import safetensors

    # By TensorFlow: what safetensors has for NumPy knows no bfloat16.
    with safetensors.safe_open(path, framework="tf") as file:
        return file.get_tensor(name).numpy()


def open_shards(index: Path) -> Tensors:
    """The tensors of several files, by the table that says which of them has which.

    Args:
        index: `*.safetensors.index.json`, {"weight_map": {tensor: file beside the index}}.

    Raises:
        DeepLabError: if the table or a file cannot be read, a file is missing or outside of the
            folder, or a tensor is in none of them or in two.
    """
    shards: dict[str, list[str]] = {}
    for name, file in _weight_map(index).items():
        if not isinstance(file, str) or len(PurePosixPath(file).parts) != 1 or file in ("", ".."):
            raise DeepLabError(f"{index}: {name} is said to be in {file!r}, not beside the index")
        shards.setdefault(file, []).append(name)
    if missing := [file for file in shards if not (index.parent / file).is_file()]:
        raise DeepLabError(f"{index}: of {len(shards)} files are missing {list_of(missing)}")
    tensors: Tensors = {}
    place: dict[str, str] = {}
    for file, names in shards.items():
        held = open_safetensors(index.parent / file)
        if lacking := [name for name in names if name not in held]:
            raise DeepLabError(f"{index.parent / file} lacks {list_of(lacking)}, see {index.name}")
        for name, tensor in held.items():
            if name in place:
                raise DeepLabError(f"{index.parent}: {name} is in {place[name]} and in {file}")
            place[name] = file
            tensors[name] = tensor
    return tensors


def shard_files(index: Path) -> list[Path]:
    """The files that an index names."""
    return [index.parent / file for file in sorted(set(_weight_map(index).values()))]


def _weight_map(index: Path) -> dict[str, Any]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeepLabError(f"{index} is no index of safetensors files: {error!r}") from error
    if not isinstance(weight_map, dict) or not weight_map:
        raise DeepLabError(f"{index} is no index of safetensors files: its weight_map is no table")
    return weight_map
