"""Files of tensors: what is read, and what is refused before anything of it runs."""

from __future__ import annotations

import collections
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from deeplab.errors import DeepLabError
from deeplab.interop.hub.files import open_files
from deeplab.interop.hub.layout import for_torch, stored

save_file = pytest.importorskip("safetensors.numpy").save_file

VALUES = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([7, 8])}


def read_all(path: Path) -> dict[str, np.ndarray]:
    files = open_files(str(path))
    view = stored(files.path, files.tensors, is_depthwise=lambda name: False)
    assert view.shapes == {name: value.shape for name, value in read(view).items()}
    return read(view)


def read(view: Any) -> dict[str, np.ndarray]:
    return {name: view.read(name) for name in view.shapes}


class Storage(NamedTuple):
    """What a pickle of PyTorch refers to by a persistent id."""

    kind: type
    key: str
    values: np.ndarray
    size: int | None = None


class View:
    """A tensor as PyTorch pickles it."""

    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple) -> None:
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments  # type: ignore[attr-defined]


class Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Storage):
            size = value.values.size if value.size is None else value.size
            return ("storage", value.kind, value.key, "cpu", size)
        return None


Torch = Callable[..., Path]


@pytest.fixture
def torch_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Torch:
    """Writes a table as `torch.save` would."""
    torch, inner = ModuleType("torch"), ModuleType("torch._utils")

    def _rebuild_tensor_v2(*arguments: object) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    inner._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    for name in ("FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "EvilStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", inner)

    def write(table: object, storages: Mapping[str, bytes]) -> Path:
        path = tmp_path / "pytorch_model.bin"
        with zipfile.ZipFile(path, "w") as archive:
            with archive.open("archive/data.pkl", "w") as file:
                Pickler(file, protocol=2).dump(table)
            for key, data in storages.items():
                archive.writestr(f"archive/data/{key}", data)
        return path

    return write


def kind(name: str) -> type:
    return getattr(sys.modules["torch"], name)


def test_views_of_one_storage(torch_file: Torch) -> None:
    numbers = np.arange(10, dtype=np.float32)
    storage = Storage(kind("FloatStorage"), "0", numbers)
    table = collections.OrderedDict(
        a=View(storage, 1, (2, 3), (1, 2)),  # axes swapped in memory
        b=View(storage, 8, (2,), (1,)),
        n=View(storage, 9, (), ()),
    )
    table._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    found = read_all(torch_file(table, {"0": numbers.tobytes()}))
    # A matrix is transposed: [out,in] there, [in,out] here.
    np.testing.assert_array_equal(found["a"], [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(found["b"], [8, 9])
    assert found["n"] == 9


@pytest.mark.parametrize(
    ("storage", "dtype"),
    [("HalfStorage", np.float16), ("BFloat16Storage", ml_dtypes.bfloat16)],
)
def test_half_precision_of_a_pickle(torch_file: Torch, storage: str, dtype: type) -> None:
    numbers = np.array([0.5, -3], dtype)
    view = View(Storage(kind(storage), "0", numbers), 0, (2,), (1,))
    found = read_all(torch_file({"a": view}, {"0": numbers.tobytes()}))["a"]
    assert found.dtype == np.float32 and found.tolist() == [0.5, -3]


class Hostile:
    """Leaves a mark if it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_runs_nothing(torch_file: Torch, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = torch_file({"a": Hostile(mark)}, {})
    with pytest.raises(DeepLabError, match=r"pytorch_model\.bin names \w+\.system.*save_file"):
        open_files(str(path))
    assert not mark.exists()
    # The file is as dangerous as it looks.
    with zipfile.ZipFile(path) as archive:
        pickle.loads(archive.read("archive/data.pkl"))
    assert mark.exists()


NUMBERS = np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("table", "value"),
    [
        (lambda s: {"a": View(s, 2, (3,), (1,))}, "a [3]"),
        (lambda s: {"a": View(s, 0, (2, 3), (4, 1))}, "a [2, 3]"),
        (lambda s: {"a": View(s, 0, (1 << 40,), (0,))}, f"a [{1 << 40}]"),
        (lambda s: {"a": View(s, -1, (2,), (1,))}, "a"),
        (lambda s: {"a": View(s, 0, (2, 2), (1,))}, "(2, 2)"),
        (lambda s: {"a": View(s._replace(key="1"), 0, (2,), (1,))}, "archive/data/1"),
        (lambda s: {"a": View(s._replace(size=400), 0, (2,), (1,))}, "archive/data/0"),
        (lambda s: {"a": View(s._replace(kind=kind("EvilStorage")), 0, (2,), (1,))}, "EvilStorage"),
        (lambda s: [View(s, 0, (2,), (1,))], "no table"),
        (lambda s: {"epoch": 3}, "no table"),
        (lambda s: {"a": collections.Counter}, "collections.Counter"),
    ],
)
def test_damaged_pickles_are_refused(torch_file: Torch, table: Any, value: str) -> None:
    storage = Storage(kind("FloatStorage"), "0", NUMBERS)
    path = torch_file(table(storage), {"0": NUMBERS.tobytes()})
    with pytest.raises(DeepLabError) as caught:
        open_files(str(path))
    assert str(path) in str(caught.value) and value in str(caught.value)


def test_a_pickle_of_an_old_pytorch_and_a_cut_one(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2))
    with pytest.raises(DeepLabError, match="save_file"):
        open_files(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"a": 1})[:-4])
    with pytest.raises(DeepLabError, match=str(path)):
        open_files(str(path))


def write_shards(folder: Path, places: Mapping[str, str], held: Mapping[str, list[str]]) -> Path:
    for file, names in held.items():
        save_file({name: VALUES[name] for name in names}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_shards(tmp_path: Path) -> None:
    places = {"a": "1.safetensors", "b": "2.safetensors"}
    write_shards(tmp_path, places, {"1.safetensors": ["a"], "2.safetensors": ["b"]})
    found = read_all(tmp_path)
    names = [Path(file).name for file in open_files(str(tmp_path)).read]
    assert names == ["model.safetensors.index.json", "1.safetensors", "2.safetensors"]
    np.testing.assert_array_equal(found["a"], VALUES["a"].T)
    np.testing.assert_array_equal(found["b"], VALUES["b"])


@pytest.mark.parametrize(
    ("places", "held", "value"),
    [
        ({"a": "1.safetensors", "b": "2.safetensors"}, {"1.safetensors": ["a"]}, "2.safetensors"),
        ({"a": "../1.safetensors"}, {"1.safetensors": ["a"]}, "'../1.safetensors'"),
        ({"a": "/1.safetensors"}, {"1.safetensors": ["a"]}, "'/1.safetensors'"),
        ({"a": "1.safetensors"}, {"1.safetensors": ["b"]}, "a"),
        (
            {"a": "1.safetensors", "b": "2.safetensors"},
            {"1.safetensors": ["a", "b"], "2.safetensors": ["b"]},
            "b is in 1.safetensors and in 2.safetensors",
        ),
        ({}, {}, "weight_map"),
        ({"a": 3}, {}, "3"),
    ],
)
def test_shards_that_do_not_fit(
    tmp_path: Path, places: Any, held: Mapping[str, list[str]], value: str
) -> None:
    write_shards(tmp_path, places, held)
    with pytest.raises(DeepLabError) as caught:
        open_files(str(tmp_path))
    assert str(tmp_path) in str(caught.value) and value in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_types_of_safetensors(tmp_path: Path, dtype: type) -> None:
    value = np.array([0.5, -3], dtype)
    if dtype is ml_dtypes.bfloat16:  # which safetensors writes for no NumPy array
        header = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
        data = len(header).to_bytes(8, "little") + header + value.tobytes()
        (tmp_path / "model.safetensors").write_bytes(data)
    else:
        save_file({"a": value}, tmp_path / "model.safetensors")
    found = read_all(tmp_path)["a"]
    assert found.dtype == np.float32 and found.tolist() == [0.5, -3]


def test_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DeepLabError, match="no model.safetensors"):
        open_files(str(tmp_path))
    save_file(VALUES, tmp_path / "one.safetensors")
    assert open_files(str(tmp_path)).path.endswith("one.safetensors")
    save_file(VALUES, tmp_path / "two.safetensors")
    with pytest.raises(DeepLabError, match="one.safetensors, two.safetensors"):
        open_files(str(tmp_path))
    cut = tmp_path / "model.safetensors"
    cut.write_bytes((tmp_path / "one.safetensors").read_bytes()[:-4])
    with pytest.raises(DeepLabError, match="model.safetensors"):
        open_files(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DeepLabError, match="config.json"):
        open_files(str(tmp_path / "one.safetensors"))
    for name in ("none.safetensors", "model.onnx"):
        with pytest.raises(DeepLabError, match=name):
            open_files(str(tmp_path / name))


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("shape", [(3, 3, 8, 1), (1, 1, 4, 8), (4, 8), (8,)])
def test_the_layout_there_and_back(shape: tuple[int, ...], depthwise: bool, tmp_path: Path) -> None:
    value = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    save_file({"a": for_torch(value, depthwise=depthwise)}, tmp_path / "a.safetensors")
    files = open_files(str(tmp_path))
    view = stored(files.path, files.tensors, is_depthwise=lambda name: depthwise)
    np.testing.assert_array_equal(view.read("a"), value)
