"""Update rules against values computed by hand, and against Keras."""

from __future__ import annotations

import math

import keras
import pytest
import tensorflow as tf

import deeplab
from deeplab.training.config import OptimizerConfig
from deeplab.training.optimization.optimizers import Optimizer


class _OneWeight(keras.Model):
    def __init__(self) -> None:
        inputs = keras.Input((1, 1, 1))
        outputs = keras.layers.Conv2D(
            1, 1, use_bias=False, kernel_initializer="ones", name="logits"
        )(inputs)
        super().__init__(inputs=inputs, outputs=outputs)


def _updates(
    config: OptimizerConfig,
    rates: list[float],
    gradients: list[float],
    skip: tuple[int, ...] = (),
) -> list[float]:
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        model = _OneWeight()
        optimizer = Optimizer(config, lambda step: tf.gather(tf.constant(rates), step), model)
    values = []
    for index, gradient in enumerate(gradients):
        skipped = {
            "unless": tf.constant(index in skip),
            "skipped": tf.constant(sum(i < index for i in skip), tf.int64),
        }
        strategy.run(
            lambda g=gradient, s=skipped: optimizer.apply(
                [tf.fill([1, 1, 1, 1], g)], **(s if skip else {})
            )
        )
        values.append(float(model.weights[0].numpy().ravel()[0]))
    return values


def test_momentum_keeps_the_learning_rate_outside_the_accumulator() -> None:
    config = OptimizerConfig("sgd", 0.1, momentum=0.9, weight_decay=0.5)
    # accumulator 2, then 0.9 * 2 + 1 = 2.8; with rates 0.1 and 0.01.
    assert _updates(config, [0.1, 0.01], [2.0, 1.0]) == pytest.approx([0.8, 0.772])


def test_momentum_of_keras_keeps_the_learning_rate_inside() -> None:
    rates, gradients = [0.1, 0.01, 0.3], [2.0, 1.0, -1.0]
    reference = keras.optimizers.SGD(momentum=0.9)
    variable = keras.Variable([1.0])
    expected = []
    for rate, gradient in zip(rates, gradients, strict=True):
        reference.learning_rate = rate
        reference.apply([tf.constant([gradient])], [variable])
        expected.append(float(variable.numpy()[0]))
    config = OptimizerConfig("sgd", 0.1, learning_rate_in_momentum=True)
    found = _updates(config, rates, gradients)
    assert found == pytest.approx(expected)
    # velocity -0.2, then 0.9 * -0.2 - 0.01 = -0.19.
    assert found[:2] == pytest.approx([0.8, 0.61])


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_skipped_steps_count_as_steps_and_do_nothing(kind: str) -> None:
    config = OptimizerConfig(kind, 0.1)
    with_gaps = _updates(config, [9.0, 0.1, 9.0, 0.2], [math.inf, 1.0, math.nan, 2.0], skip=(0, 2))
    assert with_gaps[0] == 1.0
    assert with_gaps[1] == with_gaps[2]
    without = _updates(config, [0.1, 0.2], [1.0, 2.0])
    assert [with_gaps[1], with_gaps[3]] == without


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_learning_rate_0_leaves_weights_as_they_are(kind: str) -> None:
    config = OptimizerConfig(kind, 0.0, weight_decay=0.5)
    assert _updates(config, [0.0, 0.0], [2.0, -3.0]) == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_multipliers_multiply_the_learning_rate(kind: str) -> None:
    config = OptimizerConfig(kind, 0.1, last_layer_lr_multiplier=3.0)
    plain = OptimizerConfig(kind, 0.1)
    gradients = [2.0, 1.0, -4.0]
    found = _updates(config, [0.1] * 3, gradients)
    assert found == pytest.approx(_updates(plain, [0.3] * 3, gradients), rel=1e-6)


def test_adamw_equals_keras() -> None:
    gradients = [2.0, -1.0, 0.5]
    reference = keras.optimizers.AdamW(0.1, weight_decay=0.01)
    variable = keras.Variable([1.0])
    expected = []
    for gradient in gradients:
        reference.apply([tf.constant([gradient])], [variable])
        expected.append(float(variable.numpy()[0]))
    config = OptimizerConfig("adamw", 0.1, weight_decay=0.01)
    # The decay of Keras comes before its update, ours with it: apart by lr^2 * decay.
    assert _updates(config, [0.1] * 3, gradients) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "sdg"}, "unknown optimizer 'sdg'; did you mean 'sgd'"),
        ({"base_learning_rate": -1}, "base_learning_rate must be at least 0"),
        ({"base_learning_rate": float("nan")}, "base_learning_rate must be a number, not nan"),
        ({"base_learning_rate": "0.1"}, "base_learning_rate must be a number, not '0.1'"),
        ({"momentum": 1}, "momentum must be below 1"),
        ({"clip_norm": -1.0}, "clip_norm must be at least 0"),
        ({"clip_norm": None}, "clip_norm must be a number, not None"),
        ({"bias_lr_multiplier": "2"}, "bias_lr_multiplier must be a number"),
        ({"backbone_lr_multiplier": -0.1}, "backbone_lr_multiplier must be at least 0"),
        ({"last_layers_contain_logits_only": 1}, "must be True or False"),
        (
            {"kind": "adamw", "learning_rate_in_momentum": True},
            "learning_rate_in_momentum is True, .* it is for 'sgd', not for 'adamw'",
        ),
    ],
)
def test_wrong_optimizer_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(deeplab.DeepLabError, match=message):
        OptimizerConfig(**settings)
