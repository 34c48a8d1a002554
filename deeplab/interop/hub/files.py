"""What lies in a folder of a hub: tensors, and the JSON files that describe them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deeplab.errors import DeepLabError
from deeplab.interop.hub.safetensors_file import open_safetensors, open_shards, shard_files
from deeplab.interop.hub.tensors import Tensors
from deeplab.interop.hub.torch_file import open_torch

_INDEX = ".safetensors.index.json"
_TORCH = (".bin", ".pt", ".pth")


class HubFiles(NamedTuple):
    """What was found.

    Attributes:
        path: the file of the tensors.
        tensors: by name.
        config: config.json; None if there is none.
        preprocessor: preprocessor_config.json; None if there is none.
        read: paths of all files that this is from.
    """

    path: str
    tensors: Tensors
    config: Mapping[str, Any] | None
    preprocessor: Mapping[str, Any] | None
    read: tuple[str, ...]


def open_files(path: str) -> HubFiles:
    """Opens a folder as a hub has it, or a file of tensors that may have such a folder around it.

    Safetensors are preferred: files of PyTorch are pickles.

    Raises:
        DeepLabError: if there are no tensors, or a file cannot be read.
    """
    place = Path(path)
    weights = _weights(place) if place.is_dir() else place
    if not weights.is_file():
        raise DeepLabError(f"{weights} does not exist")
    read = [weights]
    if weights.name.endswith(_INDEX):
        tensors = open_shards(weights)
        read += shard_files(weights)
    elif weights.suffix == ".safetensors":
        tensors = open_safetensors(weights)
    elif weights.suffix in _TORCH:
        tensors = open_torch(weights)
    else:
        raise DeepLabError(
            f"{weights} is no file of tensors; read are .safetensors, {_INDEX}, {', '.join(_TORCH)}"
        )
    described = [weights.with_name(name) for name in ("config.json", "preprocessor_config.json")]
    config, preprocessor = map(_read_json, described)
    read += [file for file in described if file.exists()]
    return HubFiles(str(weights), tensors, config, preprocessor, tuple(map(str, read)))


def _weights(folder: Path) -> Path:
    """The file of tensors in a folder, by the names that hubs give, else the only one."""
    for name in ("model.safetensors", f"model{_INDEX}", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    for pattern in (f"*{_INDEX}", "*.safetensors", *(f"*{suffix}" for suffix in _TORCH)):
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            raise DeepLabError(
                f"{folder} has several files of tensors, name one: "
                f"{', '.join(file.name for file in found)}"
            )
        if found:
            return found[0]
    raise DeepLabError(f"{folder} has no model.safetensors and no pytorch_model.bin")


def _read_json(path: Path) -> Mapping[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DeepLabError(f"{path} is no readable JSON file: {error}") from error
    if not isinstance(values, dict):
        raise DeepLabError(f"{path} must be names with values")
    return values
