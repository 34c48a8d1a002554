"""Schedules and update rules against values computed by hand."""

import keras
import pytest
import tensorflow as tf

import deeplab
from deeplab.training.cluster import Cluster
from deeplab.training.config import OptimizerConfig, ScheduleConfig
from deeplab.training.losses import l2_penalty
from deeplab.training.optimizers import Optimizer
from deeplab.training.resume import check_resumable
from deeplab.training.schedules import poly
from deeplab.training.strategies import check_strategy, make_strategy


def test_l2_penalty() -> None:
    variables = [keras.Variable([1.0, 2.0]), keras.Variable([[3.0]])]
    assert l2_penalty(variables).numpy() == pytest.approx((1 + 4 + 9) / 2)


def test_poly_schedule() -> None:
    rate = poly(ScheduleConfig(power=0.9), base_learning_rate=0.007, train_steps=30_000)
    assert float(rate(0)) == pytest.approx(0.007)
    assert float(rate(15_000)) == pytest.approx(0.007 * 0.5**0.9)
    assert float(rate(30_000)) == 0
    assert float(rate(40_000)) == 0


def test_warm_up_rises_linearly_and_poly_begins_after_it() -> None:
    config = ScheduleConfig(
        warmup_steps=10, warmup_start_learning_rate=0.1, end_learning_rate=0.2, power=1.0
    )
    rate = poly(config, base_learning_rate=1.0, train_steps=110)
    assert float(rate(0)) == pytest.approx(0.1)
    assert float(rate(5)) == pytest.approx(0.55)
    assert float(rate(10)) == pytest.approx(1.0)
    assert float(rate(60)) == pytest.approx(0.6)
    assert float(rate(110)) == pytest.approx(0.2)


class _OneWeight(keras.Model):
    def __init__(self) -> None:
        inputs = keras.Input((1, 1, 1))
        outputs = keras.layers.Conv2D(
            1, 1, use_bias=False, kernel_initializer="ones", name="logits"
        )(inputs)
        super().__init__(inputs=inputs, outputs=outputs)


def _updates(config: OptimizerConfig, rates: list[float], gradients: list[float]) -> list[float]:
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        model = _OneWeight()
        optimizer = Optimizer(config, lambda step: tf.gather(tf.constant(rates), step), model)
    values = []
    for gradient in gradients:
        strategy.run(lambda g=gradient: optimizer.apply([tf.fill([1, 1, 1, 1], g)]))
        values.append(float(model.weights[0].numpy().ravel()[0]))
    return values


def test_momentum_keeps_the_learning_rate_outside_the_accumulator() -> None:
    config = OptimizerConfig("sgd", 0.1, momentum=0.9, weight_decay=0.5)
    # accumulator 2, then 0.9 * 2 + 1 = 2.8; with rates 0.1 and 0.01.
    assert _updates(config, [0.1, 0.01], [2.0, 1.0]) == pytest.approx([0.8, 0.772])


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
    ],
)
def test_wrong_optimizer_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(deeplab.DeepLabError, match=message):
        OptimizerConfig(**settings)


def test_only_three_settings_may_change_on_resume() -> None:
    saved = {"train_steps": 10, "seed": 0, "model": {"backbone": "a", "atrous_rates": [1, 2]}}
    longer = {**saved, "train_steps": 20}
    longer["model"] = {"backbone": "a", "atrous_rates": (1, 2)}
    assert check_resumable(saved, longer, model_dir="m") == ["train_steps was 10, is 20"]
    other = {**saved, "seed": 1, "model": {"backbone": "b", "atrous_rates": None}}
    with pytest.raises(deeplab.DeepLabError) as caught:
        check_resumable(saved, other, model_dir="m")
    for part in ("cannot resume m", "model.backbone was 'a', is 'b'", "seed was 0, is 1"):
        assert part in str(caught.value)


def test_strategies() -> None:
    strategy, line = make_strategy("auto")
    assert strategy.num_replicas_in_sync == 1
    assert line == "strategy: one_device (CPU)"
    strategy, line = make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2
    assert make_strategy("mirrored")[0] is strategy  # two of them in one process collide
    with pytest.raises(deeplab.DeepLabError, match="needs a TPU and this machine has none"):
        make_strategy("tpu")
    with pytest.raises(deeplab.DeepLabError, match="did you mean 'mirrored'"):
        make_strategy("miror")


def test_strategies_of_several_workers() -> None:
    two = Cluster(("a:1", "b:1"), 0)
    check_strategy("auto", two)
    check_strategy("multi_worker", two)
    with pytest.raises(deeplab.DeepLabError, match="needs a cluster of more than one worker"):
        make_strategy("multi_worker")
    with pytest.raises(deeplab.DeepLabError, match="'mirrored' trains in one process, .* 2 worke"):
        check_strategy("mirrored", two)
