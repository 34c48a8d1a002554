"""Tensors in a file of PyTorch, before anybody knows what they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Tensor(NamedTuple):
    """A tensor in a file.

    Attributes:
        shape: as in the file.
        dtype: the type of its numbers, such as "bfloat16".
        read: gives the value.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]

    @property
    def is_float(self) -> bool:
        """Whether it may be a weight."""
        return "float" in self.dtype


Tensors = dict[str, Tensor]
