"""Reads `pytorch_model.bin` without PyTorch, and without running what is in it.

Such a file is a zip archive of a pickle and the bytes of its tensors. A pickle is a program that
may call anything by name; the few names that a table of tensors needs are known here, every other
is refused. Source of the form: torch/serialization.py, since PyTorch 1.6.
"""

from __future__ import annotations

import collections
import functools
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from deeplab.errors import DeepLabError
from deeplab.interop.hub.tensors import Tensor, Tensors

# Storage in a file -> the type of its numbers.
_STORAGES: dict[str, type] = {
    "BFloat16Storage": ml_dtypes.bfloat16,
    "BoolStorage": np.bool_,
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "IntStorage": np.int32,
    "LongStorage": np.int64,
}
_CONVERT = (
    'convert it where PyTorch is installed: python -c "import torch; from safetensors.torch import'
    " save_file; save_file(torch.load('{name}', weights_only=True), 'model.safetensors')\""
)


class _Storage(NamedTuple):
    """The bytes that tensors are views of."""

    key: str
    dtype: np.dtype
    size: int


class _View(NamedTuple):
    """A tensor: where it begins in its storage, and the steps of its axes, in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *rest: object
) -> _View:
    """`torch._utils._rebuild_tensor_v2`; what follows concerns gradients."""
    return _View(storage, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    """Knows four kinds of globals: tables, tensors, storages, and what is set on a table."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _STORAGES:
            return np.dtype(_STORAGES[name])
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage by its description in the file."""
        kind, dtype, key, _, size = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise _Refused(f"a persistent {kind!r}")
        return _Storage(str(key), dtype, int(size))


class _Refused(Exception):
    """A name that no table of tensors needs."""


def open_torch(path: Path) -> Tensors:
    """The tensors of a file that `torch.save` wrote of a table of tensors.

    Raises:
        DeepLabError: if it cannot be read, has another form, or names anything but tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [n for n in archive.namelist() if PurePosixPath(n).name == "data.pkl"]
            if len(pickles) != 1:
                raise DeepLabError(f"{path} has {len(pickles)} files data.pkl, not one")
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            with archive.open(pickles[0]) as file:
                table = _Unpickler(file).load()
    except _Refused as error:
        raise DeepLabError(
            f"{path} names {error}, and so is more than a table of tensors: it is not read, since "
            f"it could run any code; {_CONVERT.format(name=path.name)}"
        ) from error
    except zipfile.BadZipFile as error:
        raise DeepLabError(
            f"{path} is no file of PyTorch 1.6 or newer ({error}); "
            f"{_CONVERT.format(name=path.name)}"
        ) from error
    except DeepLabError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DeepLabError(f"{path} cannot be read: {error!r}") from error
    if not isinstance(table, dict) or not all(isinstance(v, _View) for v in table.values()):
        raise DeepLabError(f"{path} holds no table of tensors; {_CONVERT.format(name=path.name)}")
    folder = PurePosixPath(pickles[0]).parent
    # Tensors may share their bytes, and are read one after the other.
    load = functools.lru_cache(maxsize=1)(functools.partial(_bytes, path))
    tensors = {}
    for name, view in table.items():
        member = str(folder / "data" / view.storage.key)
        _check(path, str(name), view, member, sizes.get(member))
        read = functools.partial(_read, load, member, view)
        tensors[str(name)] = Tensor(view.shape, view.storage.dtype.name, read)
    return tensors


def _check(path: Path, name: str, view: _View, member: str, found: int | None) -> None:
    """Raises a `DeepLabError` if a view is none of the bytes that are there."""
    storage = view.storage
    numbers = (view.offset, *view.shape, *view.strides)
    if len(view.shape) != len(view.strides) or not all(
        isinstance(number, int) and number >= 0 for number in numbers
    ):
        raise DeepLabError(f"{path}: {name} has the shape {view.shape!r}, strides {view.strides!r}")
    size = storage.size * storage.dtype.itemsize
    if found != size:
        raise DeepLabError(
            f"{path}: {member}, the bytes of {name}, has {found or 'none'} instead of {size}"
        )
    count = int(np.prod(view.shape, dtype=object))
    steps = sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True))
    # A stride of 0 would let a small file claim any size.
    if count and (view.offset + steps >= storage.size or count > storage.size):
        raise DeepLabError(f"{path}: {name} {list(view.shape)} reaches over the end of its bytes")


def _bytes(path: Path, member: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(member)


def _read(load: Callable[[str], bytes], member: str, view: _View) -> np.ndarray:
    dtype = view.storage.dtype
    data = np.frombuffer(load(member), dtype, offset=view.offset * dtype.itemsize)
    strides = [step * dtype.itemsize for step in view.strides]
    return np.lib.stride_tricks.as_strided(data, view.shape, strides).copy()
