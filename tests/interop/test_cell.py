"""Files of dense prediction cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from deeplab.errors import DeepLabError
from deeplab.interop.tf1.cell import read_cell
from deeplab.models.dense_prediction_cell import CITYSCAPES_CELL, Branch


def test_reads_the_released_cell(reference_data: Path) -> None:
    path = reference_data / "golden" / "cells" / "branch5_top1_cityscapes.json"
    assert read_cell(str(path)) == CITYSCAPES_CELL


def test_a_kernel_of_one_needs_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    path.write_text('[{"op": "conv", "kernel": 1, "input": -1}]')
    assert read_cell(str(path)) == (Branch(1, (1, 1), -1),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no readable JSON"),
        ("{}", "must be a list of objects"),
        ("[3]", "row 0 must be an object with op, kernel, rate, input"),
        ('[{"op": "pyramid_pooling", "input": -1}]', "'pyramid_pooling'; choices: conv"),
        ('[{"op": "conv", "dilation": 2}]', "key 'dilation'; choices: input, kernel, op, rate"),
        ('[{"op": "conv", "kernel": 3, "input": -1}]', "row 0: rate must be a list"),
    ],
)
def test_bad_files_of_a_cell(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cell.json"
    path.write_text(text)
    with pytest.raises(DeepLabError, match=message) as caught:
        read_cell(str(path))
    assert str(path) in str(caught.value)
