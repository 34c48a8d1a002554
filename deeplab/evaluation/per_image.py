"""The confusion matrix of each image, of which everything over groups of images follows.

`per_image.npz` holds "ids" [N] texts, "sizes" int32 [N, 2] (height, width in pixels) and
"confusion" [N, C, C], unsigned integers, rows labels and columns predictions. `numpy.load` reads
it. Most cells are 0: in memory the matrices are sparse, in the file compressed.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from scipy import sparse

from deeplab.errors import DeepLabError
from deeplab.evaluation.examples import Scored
from deeplab.evaluation.metrics import Counts, Rates, iou_of_sums, means_of

FILE_NAME = "per_image.npz"

_CELLS_AT_ONCE = 2**22  # of the dense matrices that are written or read


@dataclasses.dataclass(frozen=True)
class PerImage:
    """What was counted in each image.

    Attributes:
        ids: names of the images, in the order they came.
        sizes: int32 [N, 2], height and width in pixels.
        cells: int64 sparse [N, C * C], the confusion matrices row by row.
    """

    ids: tuple[str, ...]
    sizes: npt.NDArray[np.int32]
    cells: sparse.csr_array

    @property
    def num_classes(self) -> int:
        """C."""
        return int(round(self.cells.shape[1] ** 0.5))

    @cached_property
    def sums(self) -> Counts:
        """Right, labeled and predicted pixels of each class, int64 [N, 3, C]: all of an IoU."""
        cells = self.cells.tocoo()
        image, (label, prediction) = cells.row, divmod(cells.col, self.num_classes)
        sums = np.zeros((len(self.ids), 3, self.num_classes), np.int64)
        right = label == prediction
        np.add.at(sums, (image[right], 0, label[right]), cells.data[right])
        np.add.at(sums, (image, 1, label), cells.data)
        np.add.at(sums, (image, 2, prediction), cells.data)
        return sums

    @property
    def miou(self) -> Rates:
        """The mean IoU of each image, [N]; NaN for one without labeled pixels."""
        return means_of(iou_of_sums(self.sums))

    def total(self, chosen: npt.NDArray[np.bool_] | None = None) -> Counts:
        """The confusion matrix of all images, or of the chosen ones, bool [N]; int64 [C, C]."""
        cells = (self.cells if chosen is None else self.cells[chosen]).sum(axis=0)
        return np.asarray(cells, np.int64).reshape(self.num_classes, self.num_classes)

    def merged(self, new_ids: Sequence[int]) -> PerImage:
        """The same images with classes united.

        Args:
            new_ids: the new id of each class.
        """
        label, prediction = divmod(np.arange(self.num_classes**2), self.num_classes)
        count = max(new_ids) + 1
        new = np.asarray(new_ids)
        target = new[label] * count + new[prediction]
        ones = np.ones(target.size, np.int64), (np.arange(target.size), target)
        return dataclasses.replace(
            self, cells=self.cells @ sparse.csr_array(ones, shape=(target.size, count**2))
        )

    def in_order_of(self, ids: Sequence[str]) -> PerImage:
        """The same images in the order of their ids, of which each must be there."""
        place = {image_id: index for index, image_id in enumerate(self.ids)}
        order = [place[image_id] for image_id in ids]
        return PerImage(tuple(ids), self.sizes[order], self.cells[order])

    def to_bytes(self) -> bytes:
        """The content of `per_image.npz`."""
        buffer = io.BytesIO()
        largest = int(self.cells.max()) if self.cells.nnz else 0
        shape = (len(self.ids), self.num_classes, self.num_classes)
        kind = np.min_scalar_type(largest)
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in (("ids", np.array(self.ids, np.str_)), ("sizes", self.sizes)):
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            with archive.open("confusion.npy", "w", force_zip64=True) as member:
                header = np.lib.format.header_data_from_array_1_0(np.empty((0, 0, 0), kind))
                np.lib.format.write_array_header_1_0(member, {**header, "shape": shape})
                for rows in _blocks(*self.cells.shape):
                    member.write(self.cells[rows].toarray().astype(kind).tobytes())
        return buffer.getvalue()


class PerImageCounts:
    """Collects the confusion matrices of images."""

    def __init__(self, num_classes: int) -> None:
        """Starts without an image."""
        self._num_cells = num_classes**2
        self._ids: list[str] = []
        self._sizes: list[tuple[int, ...]] = []
        self._rows: list[sparse.csr_array] = []

    def add(self, scored: Scored) -> None:
        """Keeps the counts of one image."""
        self._ids.append(scored.image_id)
        self._sizes.append(scored.labels.shape)
        self._rows.append(sparse.csr_array(scored.counts.reshape(1, -1)))

    def result(self) -> PerImage:
        """Those of all images so far."""
        sizes = np.array(self._sizes, np.int32).reshape(-1, 2)
        cells = sparse.vstack(self._rows, format="csr")
        return PerImage(tuple(self._ids), sizes, cells)


def read_per_image(path: str | Path) -> PerImage:
    """Reads `per_image.npz`.

    Raises:
        DeepLabError: if it is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            ids, sizes = (
                _read_member(archive, name, lambda file: np.lib.format.read_array(file))
                for name in ("ids", "sizes")
            )
            cells = _read_member(archive, "confusion", _read_cells)
        if not len(ids) == len(sizes) == cells.shape[0]:
            raise ValueError("its arrays are of different length")
        return PerImage(tuple(ids.tolist()), sizes, cells)
    except FileNotFoundError as error:
        raise DeepLabError(f"{path} is not there: this version's `evaluate` writes it") from error
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DeepLabError(f"{path} cannot be read: {error}") from error


def _read_member(archive: zipfile.ZipFile, name: str, read: Callable[[Any], Any]) -> Any:
    with archive.open(f"{name}.npy") as member:
        return read(member)


def _read_cells(file: BinaryIO) -> sparse.csr_array:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version of the format")
    shape, fortran_order, kind = np.lib.format.read_array_header_1_0(file)
    if len(shape) != 3 or shape[1] != shape[2] or fortran_order or kind.kind != "u":
        raise ValueError(f"the matrices are {kind} {list(shape)}")
    blocks = []
    for rows in _blocks(shape[0], shape[1] * shape[2]):
        count = rows.stop - rows.start
        data = file.read(count * shape[1] * shape[2] * kind.itemsize)
        dense = np.frombuffer(data, kind).reshape(count, -1)
        blocks.append(sparse.csr_array(dense.astype(np.int64)))
    return sparse.vstack(blocks, format="csr")


def _blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    step = max(1, _CELLS_AT_ONCE // num_columns)
    for start in range(0, num_rows, step):
        yield slice(start, min(num_rows, start + step))
