"""The backbones of architecture search, where no stored output is."""

import math

import keras
import numpy as np
import pytest

from deeplab.errors import DeepLabError
from deeplab.models.backbones import nas, nas_cell
from deeplab.models.backbones.features import Features
from deeplab.models.batch_norm import BatchNormSettings

NORM = BatchNormSettings(epsilon=1e-3, momentum=0.9)


def _sizes(features: Features, image: keras.KerasTensor, height: int, width: int) -> dict:
    outputs = keras.Model(image, dict(features))(np.zeros((1, height, width, 3), np.float32))
    return {name: tuple(value.shape[1:]) for name, value in outputs.items()}


def test_hnasnet_names_its_output_stride() -> None:
    with pytest.raises(DeepLabError, match="hnasnet has no output_stride 16; choices: 8"):
        nas.hnasnet(keras.Input((None, None, 3)), output_stride=16, norm=NORM)


@pytest.mark.slow
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


@pytest.mark.slow
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
