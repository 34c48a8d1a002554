"""Batches of a data set as arrays, so many as were asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from deeplab.data import DataConfig, PreparedDataset, TrainingStream

Batch = dict[str, np.ndarray]
Element = tuple[bytes, bytes, bytes]


def training_batches(
    dataset: PreparedDataset, config: DataConfig, count: int, *, start_step: int = 0, **options: Any
) -> list[Batch]:
    """The first batches of a stream; the options are those of `TrainingStream`."""
    options = {"global_batch_size": 4, "pad_value": (1.0, 2.0, 3.0), "seed": 5, **options}
    stream = TrainingStream(dataset, config, **options).batches(start_step)
    batches = list(stream.take(count).as_numpy_iterator())
    assert len(batches) == count
    for key, spec in stream.element_spec.items():  # a graph knows their shapes and types too
        assert spec.shape == batches[0][key].shape
        assert spec.dtype == batches[0][key].dtype or key == "id"
    return batches


def elements(batches: list[Batch]) -> list[Element]:
    """Id, image and label of every element, in order."""
    return [
        (batch["id"][k], batch["image"][k].tobytes(), batch["label"][k].tobytes())
        for batch in batches
        for k in range(len(batch["id"]))
    ]


def assert_equal(ours: list[Batch], theirs: list[Batch]) -> None:
    """The same batches, and some."""
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
