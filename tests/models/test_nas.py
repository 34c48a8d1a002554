"""The backbones of architecture search and the dense prediction cell, where no stored output is."""

import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest

from deeplab.errors import DeepLabError
from deeplab.interop.tf1.cell import read_cell
from deeplab.models.backbones import nas, nas_cell
from deeplab.models.backbones.features import Features
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.dense_prediction_cell import (
    CITYSCAPES_CELL,
    Branch,
    check_branches,
    dense_prediction_cell,
)
from deeplab.models.resize import ResizeLike

NORM = BatchNormSettings(epsilon=1e-3, momentum=0.9)


def _sizes(features: Features, image: keras.KerasTensor, height: int, width: int) -> dict:
    outputs = keras.Model(image, dict(features))(np.zeros((1, height, width, 3), np.float32))
    return {name: tuple(value.shape[1:]) for name, value in outputs.items()}


def test_hnasnet_names_its_output_stride() -> None:
    with pytest.raises(DeepLabError, match="hnasnet has no output_stride 16; choices: 8"):
        nas.hnasnet(keras.Input((None, None, 3)), output_stride=16, norm=NORM)


@pytest.mark.parametrize("remove_stride_32", [False, True])
def test_hnasnet_sizes(remove_stride_32: bool) -> None:
    image = keras.Input((None, None, 3))
    features = nas.hnasnet(
        image, output_stride=8, norm=NORM, filters=2, remove_stride_32=remove_stride_32
    )
    assert _sizes(features, image, 65, 97) == {
        "low_level": (17, 25, 10),
        "low_level_8": (9, 13, 20),
        "low_level_16": (5, 7, 40),
        "high_level": (9, 13, 20),
    }
    # Cells that return to a finer level lose a pixel at even sizes, as in the original; no error.
    assert _sizes(features, image, 64, 96)["low_level_8"] == (7, 11, 20)


@pytest.mark.parametrize(
    ("output_stride", "eighth_cell", "last_cell"),
    [
        (8, (8, 13, 20), (8, 13, 20)),
        (16, (4, 7, 40), (4, 7, 40)),
        (32, (4, 7, 40), (2, 4, 80)),
    ],
)
def test_pnasnet_sizes(
    output_stride: int, eighth_cell: tuple[int, ...], last_cell: tuple[int, ...]
) -> None:
    image = keras.Input((None, None, 3))
    features = nas.pnasnet(image, output_stride=output_stride, norm=NORM, filters=2)
    assert _sizes(features, image, 64, 97) == {
        "low_level": (16, 25, 128),
        "low_level_8": (8, 13, 20),
        "low_level_16": eighth_cell,
        "high_level": last_cell,
    }


def test_cell_keeps_a_previous_result_of_its_own_width() -> None:
    x, previous = keras.Input((9, 9, 12)), keras.Input((17, 17, 8))
    y = nas_cell.cell(
        x, previous, nas_cell.PNASNET_CELL, filters=8, stride=2, norm=NORM, name="cell"
    )
    names = {layer.name for layer in keras.Model([x, previous], y).layers}
    assert y.shape == (None, 5, 5, 40)
    assert "cell.input" in names
    assert "cell.previous" not in names


def test_initializer_is_uniform_within_one_over_root_fan_in() -> None:
    values = np.asarray(nas_cell.initializer()((3, 3, 16, 1)))
    bound = 1 / math.sqrt(3 * 3 * 16)
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.9 * bound


@pytest.mark.parametrize(
    ("factor", "size", "expected"), [(0.5, 33, 17), (0.5, 32, 16), (2.0, 17, 33), (2.0, 1, 1)]
)
def test_resize_by_a_factor(factor: float, size: int, expected: int) -> None:
    images = np.linspace(0, 1, size, dtype=np.float32).reshape(1, size, 1, 1)
    resized = np.asarray(ResizeLike(factor)(images, images))
    assert resized.shape == (1, expected, 1, 1)
    straight_line = np.linspace(0, images[0, -1, 0, 0], expected)
    np.testing.assert_allclose(resized.ravel(), straight_line, atol=1e-6)


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
