"""Learning rates against values computed by hand."""

from __future__ import annotations

import math

import pytest

import deeplab
from deeplab.training.config import ScheduleConfig
from deeplab.training.optimization.schedules import is_zero, make_schedule


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
