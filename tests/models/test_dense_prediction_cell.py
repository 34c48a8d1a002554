"""The dense prediction cell, where no stored output is."""

from __future__ import annotations

import json

import keras
import pytest

from deeplab.errors import DeepLabError
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.dense_prediction_cell import (
    CITYSCAPES_CELL,
    check_branches,
    dense_prediction_cell,
)

NORM = BatchNormSettings(epsilon=1e-3, momentum=0.9)


def test_rates_of_the_dense_prediction_cell_follow_the_output_stride() -> None:
    rates = {}
    for output_stride in (8, 16):
        x = keras.Input((None, None, 4))
        y = dense_prediction_cell(
            x,
            branches=CITYSCAPES_CELL,
            output_stride=output_stride,
            channels=4,
            dropout_rate=0.5,
            norm=NORM,
        )
        model = keras.Model(x, y)
        layer = model.get_layer("dense_prediction_cell.branch1.depthwise")
        rates[output_stride] = layer.dilation_rate
        # The dropout acts on what the projection reads.
        assert model.get_layer("dense_prediction_cell.projection").input is (
            model.get_layer("dense_prediction_cell.dropout").output
        )
    assert rates == {8: (36, 30), 16: (18, 15)}


def test_dense_prediction_cell_names_its_output_strides() -> None:
    with pytest.raises(DeepLabError, match="no output_stride 32; choices: 8, 16"):
        dense_prediction_cell(
            keras.Input((None, None, 4)),
            branches=CITYSCAPES_CELL,
            output_stride=32,
            channels=4,
            dropout_rate=0.0,
            norm=NORM,
        )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "cell must be a list of rows"),
        ([(3, (1, 1))], r"row 0 must be \(kernel, rate, source\)"),
        ([(0, (1, 1), -1)], "row 0: kernel must be at least 1"),
        ([(3, None, -1)], "row 0: rate must be a list"),
        ([(3, (1,), -1)], "row 0: rate must be two numbers"),
        ([(3, (1, 1), -1), (3, (1, 1), 1)], "row 1: source must be one of the numbers -1, 0"),
    ],
)
def test_bad_rows_of_a_cell(rows: object, message: str) -> None:
    with pytest.raises(DeepLabError, match=message):
        check_branches("cell", rows)


def test_rows_survive_json() -> None:
    assert check_branches("cell", json.loads(json.dumps(CITYSCAPES_CELL))) == CITYSCAPES_CELL
