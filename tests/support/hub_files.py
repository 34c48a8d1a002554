"""Weight files of the hubs, written from the reference data, and the outputs that go with them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


class Hub:
    """The folder `hub` of the reference data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values = _module(folder, "values")
        self.writers = _module(folder, "make_weights")
        self._golden = _module(folder, "golden")

    def golden(self, name: str) -> Any:
        """The stored outputs of a network, such as "timm/xception41"."""
        golden = self._golden.Golden(self.json(name))
        with golden._npz as arrays:  # which it leaves open
            golden._npz = dict(arrays)
        return golden

    def json(self, name: str) -> str:
        """The list of the tensors of a network."""
        return str(self.folder / f"{name}.json")


def images(golden: Any, case: str) -> np.ndarray:
    """The input of a case, float32 [1,H,W,3], 0..255."""
    return golden.image(case)[None].astype(np.float32)


def difference(golden: Any, case: str, tensor: str, found: np.ndarray, *, over: str) -> float:
    """The largest difference to what is stored, in units of "absmax" or "std" of the tensor."""
    record = golden.cases[case]["tensors"][tensor]
    return max(d for d, _ in golden.compare(case, tensor, found).values()) / record[over]


def _module(folder: Path, name: str) -> ModuleType:
    # They import each other by these names.
    if name not in sys.modules or Path(sys.modules[name].__file__ or "").parent != folder:
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
