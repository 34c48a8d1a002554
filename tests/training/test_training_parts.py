"""Schedules and update rules against values computed by hand."""

import dataclasses
import json
import math

import keras
import pytest
import tensorflow as tf

import deeplab
from deeplab.training.config import OptimizerConfig, ScheduleConfig
from deeplab.training.distribution.cluster import Cluster
from deeplab.training.distribution.strategies import check_strategy, make_strategy
from deeplab.training.losses import l2_penalty
from deeplab.training.optimization.loss_scale import LossScale
from deeplab.training.optimization.optimizers import Optimizer
from deeplab.training.optimization.parameter_groups import learning_rate_multipliers
from deeplab.training.optimization.schedules import is_zero, make_schedule
from deeplab.training.run_settings import check_resumable


def test_l2_penalty() -> None:
    variables = [keras.Variable([1.0, 2.0]), keras.Variable([[3.0]])]
    assert l2_penalty(variables).numpy() == pytest.approx((1 + 4 + 9) / 2)


def test_poly_schedule() -> None:
    rate = make_schedule(ScheduleConfig(power=0.9), base_learning_rate=0.007, train_steps=30_000)
    assert float(rate(0)) == pytest.approx(0.007)
    assert float(rate(15_000)) == pytest.approx(0.007 * 0.5**0.9)
    assert float(rate(30_000)) == 0
    assert float(rate(40_000)) == 0


def test_warm_up_rises_linearly_and_poly_begins_after_it() -> None:
    config = ScheduleConfig(
        warmup_steps=10, warmup_start_learning_rate=0.1, end_learning_rate=0.2, power=1.0
    )
    rate = make_schedule(config, base_learning_rate=1.0, train_steps=110)
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


def test_groups_of_variables() -> None:
    model = deeplab.deeplab_v3_plus("mobilenet_v3_small", num_classes=3, atrous_rates=(1,))
    config = OptimizerConfig(
        backbone_lr_multiplier=0.1, last_layer_lr_multiplier=10.0, bias_lr_multiplier=3.0
    )
    found = learning_rate_multipliers(model, config)
    assert found["backbone/conv/kernel"] == 0.1
    assert found["backbone/expanded_conv/squeeze_excite/conv/bias"] == pytest.approx(0.3)
    assert found["backbone/conv/batch_norm/beta"] == 0.1
    assert found["aspp/conv1/depthwise/kernel"] == found["logits/kernel"] == 10.0
    assert found["logits/bias"] == 30.0

    logits = dataclasses.replace(config, last_layers_contain_logits_only=True)
    found = learning_rate_multipliers(model, logits)
    assert (found["aspp/conv1/depthwise/kernel"], found["logits/kernel"]) == (1.0, 10.0)

    for kind, bias in (("sgd", 2.0), ("adamw", 1.0)):
        found = learning_rate_multipliers(model, OptimizerConfig(kind))
        assert {path: m for path, m in found.items() if m != 1.0} == {
            path: bias for path in found if path.endswith("/bias") and bias != 1.0
        }

    lite = deeplab.deeplab_v3_plus(
        "mobilenet_v3_small",
        num_classes=3,
        atrous_rates=(),
        decoder_outputs_logits=True,
        decoder_merge="sum",
        decoder_channels=3,
    )
    with pytest.raises(deeplab.DeepLabError, match="no variable .* layer named 'logits'"):
        learning_rate_multipliers(lite, logits)


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "cosin"}, "did you mean 'cosine'"),
        ({"kind": "step", "power": 0.5}, "power is 0.5, .* 'poly', not for 'step'"),
        ({"decay_factor": 0.5}, "decay_factor is 0.5, but .* it is for 'step'"),
        ({"kind": "step", "end_learning_rate": 0.1}, "it is for 'poly' and 'cosine'"),
        ({"kind": "step", "decay_factor": 0}, "decay_factor must be above 0"),
        ({"decay_steps": 0}, "decay_steps must be at least 1"),
        ({"warmup_kind": "slow"}, "unknown warmup_kind 'slow'"),
    ],
)
def test_wrong_schedule_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(deeplab.DeepLabError, match=message):
        ScheduleConfig(**settings)


def test_cosine_schedule() -> None:
    config = ScheduleConfig("cosine", end_learning_rate=0.2, warmup_steps=10)
    rate = make_schedule(config, base_learning_rate=1.0, train_steps=110)
    assert [float(rate(step)) for step in (10, 35, 60, 110, 200)] == pytest.approx(
        [1.0, 0.2 + 0.4 * (1 + math.sqrt(0.5)), 0.6, 0.2, 0.2]
    )


def test_step_schedule() -> None:
    config = ScheduleConfig(
        "step",
        decay_steps=10,
        decay_factor=0.5,
        warmup_steps=5,
        warmup_start_learning_rate=0.25,
        warmup_kind="constant",
    )
    rate = make_schedule(config, base_learning_rate=1.0, train_steps=20)
    assert [float(rate(step)) for step in (0, 4, 5, 14, 15, 25, 40)] == pytest.approx(
        [0.25, 0.25, 1.0, 1.0, 0.5, 0.25, 0.125]
    )


def test_when_the_learning_rate_is_0() -> None:
    assert is_zero(ScheduleConfig(), base_learning_rate=0.0)
    assert not is_zero(ScheduleConfig(), base_learning_rate=1e-9)
    assert not is_zero(ScheduleConfig(end_learning_rate=0.1), base_learning_rate=0.0)
    rising = ScheduleConfig(warmup_steps=1, warmup_start_learning_rate=0.1)
    assert not is_zero(rising, base_learning_rate=0.0)


def test_loss_scale() -> None:
    scale = LossScale()
    assert scale.value.numpy() == 2**15
    no, yes = tf.constant(False), tf.constant(True)
    assert not scale.update(no)
    assert scale.variables_by_path()["good_steps"].numpy() == 1
    scale.variables_by_path()["good_steps"].assign(1998)
    assert not scale.update(no)
    assert scale.value.numpy() == 2**15
    assert not scale.update(no)
    assert scale.value.numpy() == 2**16
    assert scale.update(yes)
    assert scale.value.numpy() == 2**15
    # An overflow starts the count anew.
    scale.update(no)
    assert scale.variables_by_path()["good_steps"].numpy() == 1
    skipped = [bool(scale.update(yes)) for _ in range(16)]
    assert skipped == [True] * 15 + [False], "at the smallest scale there is nothing left to try"
    assert scale.value.numpy() == 1
    assert scale.skipped_steps.numpy() == 17
    scale.value.assign(2.0**24)
    scale.variables_by_path()["good_steps"].assign(1999)
    scale.update(no)
    assert scale.value.numpy() == 2**24


def test_a_setting_that_a_folder_does_not_know_had_its_default() -> None:
    config = deeplab.TrainConfig(
        model=deeplab.ModelConfig("mobilenet_v2", num_classes=3),
        data=deeplab.DataConfig(dataset="shapes"),
    )
    saved = json.loads(json.dumps(config.to_dict()))
    for name in ("ema_decay", "precision", "accumulation_steps"):
        del saved[name]
    del saved["optimizer"]["clip_norm"], saved["schedule"]["decay_steps"]
    assert check_resumable(saved, config.to_dict(), model_dir="m") == []
    changed = dataclasses.replace(
        config, ema_decay=0.9, optimizer=OptimizerConfig(clip_norm=1.0)
    ).to_dict()
    with pytest.raises(deeplab.DeepLabError) as caught:
        check_resumable(saved, changed, model_dir="m")
    for part in ("ema_decay was 0.0, is 0.9", "optimizer.clip_norm was 0.0, is 1.0"):
        assert part in str(caught.value)


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
