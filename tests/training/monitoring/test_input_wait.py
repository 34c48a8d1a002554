"""How long the loop waited for images."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clock import Clock

from deeplab.training.monitoring.input_wait import InputWait


def batches(clock: Clock, seconds: float) -> Iterator[int]:
    for index in range(100):
        clock.seconds += seconds
        yield index


def test_share_is_of_the_interval() -> None:
    clock = Clock()
    wait = InputWait(batches(clock, 1.0), clock)
    for _ in range(4):
        next(wait)
        clock.seconds += 3.0
    assert wait.share() == pytest.approx(0.25)
    wait.restart()
    clock.seconds += 1.0
    next(wait)
    assert wait.share() == pytest.approx(0.5)


@pytest.mark.parametrize(("step_seconds", "complains"), [(1.0, True), (9.0, False)])
def test_complaint_after_fifty_steps(step_seconds: float, complains: bool) -> None:
    clock = Clock()
    wait = InputWait(batches(clock, 1.0), clock)
    lines = []
    for index, _ in enumerate(wait):
        clock.seconds += 1000.0 if index < 5 else step_seconds  # compiling hides nothing
        if index == 30:
            wait.restart()  # an interval of the log does not matter here
        lines.append(wait.complaint())
    assert [line for line in lines[:49] if line] == []
    assert [line for line in lines[50:] if line] == []
    assert bool(lines[49]) == complains
    if complains:
        # 44 waits and 45 steps since the sixth batch came.
        assert "49%" in lines[49]


def test_every_batch_is_handed_on() -> None:
    assert list(InputWait(batches(Clock(), 0.0))) == list(range(100))
