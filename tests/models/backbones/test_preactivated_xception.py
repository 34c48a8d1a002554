"""The Xception with batch norm and ReLU before each convolution."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.models import decayed_variables, variables_by_path
from deeplab.models.backbones.preactivated_xception import preactivated_xception
from deeplab.models.backbones.xception import Block
from deeplab.models.batch_norm import BatchNormSettings

NORM = BatchNormSettings(epsilon=0.5, momentum=0.9)  # large enough to be seen
BLOCKS = (
    Block("entry_flow.block1", (4, 4, 4), "conv", 1, 2),
    Block("entry_flow.block2", (6, 6, 6), "conv", 1, 2),
    Block("middle_flow.block1", (6, 6, 6), "sum", 1, 1),
    Block("exit_flow.block1", (6, 8, 8), "conv", 1, 2),
    Block("exit_flow.block2", (8, 8, 10), "none", 1, 1, relu_inside=True),
)
# timm 1.0: trainable parameters with a classifier of 1000 classes on the 2048 channels.
PUBLISHED = {"xception_41p": 26_907_752, "xception_65p": 39_819_560}


def by_hand(
    x: tf.Tensor, get: Callable[[str], tf.Tensor], units: dict[str, tuple[int, int]]
) -> dict[str, tf.Tensor]:
    """The definition, of strides and rates by unit."""

    def norm_relu(x: tf.Tensor, path: str) -> tf.Tensor:
        values = ("moving_mean", "moving_variance", "beta", "gamma")
        mean, variance, beta, gamma = (get(f"{path}/batch_norm/{name}") for name in values)
        return tf.nn.relu(tf.nn.batch_normalization(x, mean, variance, beta, gamma, NORM.epsilon))

    def padded(x: tf.Tensor, rate: int = 1) -> tf.Tensor:
        return tf.pad(x, [[0, 0], [rate, rate], [rate, rate], [0, 0]])

    stem = "entry_flow/conv1_1"
    x = norm_relu(tf.nn.conv2d(padded(x), get(f"{stem}/kernel"), 2, "VALID"), stem)
    x = tf.nn.conv2d(padded(x), get("entry_flow/conv1_2/kernel"), 1, "VALID")
    features = {}
    for unit, (stride, rate) in units.items():
        shortcut = x = norm_relu(x, f"{unit}/norm")
        for index in (1, 2, 3):
            path = f"{unit}/separable_conv{index}"
            x = norm_relu(x, f"{path}/norm") if index > 1 else x
            depthwise, step = get(f"{path}/depthwise/kernel"), stride if index == 3 else 1
            x = tf.nn.depthwise_conv2d(
                padded(x, rate), depthwise, [1, step, step, 1], "VALID", dilations=[rate, rate]
            )
            x = tf.nn.conv2d(x, get(f"{path}/pointwise/kernel"), 1, "VALID")
            if index == 2:
                features[unit] = x
        if "exit_flow/block2" in unit:
            break
        if "middle_flow" not in unit:
            shortcut = tf.nn.conv2d(shortcut, get(f"{unit}/shortcut/kernel"), stride, "VALID")
        x += shortcut
    return {**features, "high_level": tf.nn.relu(x)}


@pytest.mark.parametrize("size", [(33, 49), (32, 48)])
def test_against_its_definition(size: tuple[int, int]) -> None:
    # At output stride 8 the last strided block loses its stride and the rate behind it is 2.
    images = keras.Input((None, None, 3))
    features = preactivated_xception(
        images, blocks=BLOCKS, output_stride=8, norm=NORM, multi_grid=None
    )
    model = keras.Model(images, features)
    generator = np.random.default_rng(0)
    for path, variable in variables_by_path(model).items():
        low = 0.5 if path.endswith(("gamma", "variance")) else -0.5
        variable.assign(generator.uniform(low, low + 1.0, variable.shape))
    x = tf.constant(generator.uniform(-1, 1, (2, *size, 3)), tf.float32)
    variables = variables_by_path(model)
    units = {
        "entry_flow/block1/unit_1": (2, 1),
        "entry_flow/block2/unit_1": (2, 1),
        "middle_flow/block1/unit_1": (1, 1),
        "exit_flow/block1/unit_1": (1, 1),
        "exit_flow/block2/unit_1": (1, 2),
    }
    expected = by_hand(x, lambda path: tf.convert_to_tensor(variables[f"backbone/{path}"]), units)
    found = model(x)
    wanted = {
        "low_level": "entry_flow/block2/unit_1",
        "low_level_16": "exit_flow/block1/unit_1",
        "high_level": "high_level",
    }
    assert found.keys() == wanted.keys()
    for ours, key in wanted.items():
        np.testing.assert_allclose(found[ours], expected[key], atol=1e-4 * np.std(expected[key]))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", sorted(PUBLISHED))
def test_published_number_of_parameters(backbone: str) -> None:
    head = {"aspp": False, "atrous_rates": (), "decoder": False}
    model = deeplab.deeplab_v3_plus(backbone, num_classes=2, multi_grid=(1, 2, 4), **head)
    weights = {p: v for p, v in variables_by_path(model).items() if p.startswith("backbone/")}
    count = sum(math.prod(v.shape) for v in weights.values() if v.trainable)
    assert count + 2048 * 1000 + 1000 == PUBLISHED[backbone]
    decayed = {id(variable) for variable in decayed_variables(model)}
    for path, variable in weights.items():
        dense = path.endswith("/kernel") and not path.endswith("depthwise/kernel")
        assert (id(variable) in decayed) == dense
    epsilons = {layer.epsilon for layer in model.layers if "batch_norm" in layer.name}
    assert epsilons == {1e-3 if backbone == "xception_65p" else 1.001e-5}
