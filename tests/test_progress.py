"""Progress: a bar on terminals, few plain lines elsewhere."""

from __future__ import annotations

import io
import sys
import time

import pytest
from clock import Clock

from deeplab.progress import track


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_plain_lines_come_every_ten_seconds_and_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
):
    with track("training", 100, start=20) as lines:
        for _ in range(80):
            clock.seconds += 0.5
            lines.advance(notes=("loss 0.25",))
    assert capsys.readouterr().out.splitlines() == [
        "training 40/100 steps, 2.0 steps/s, 0:30 left, loss 0.25",
        "training 60/100 steps, 2.0 steps/s, 0:20 left, loss 0.25",
        "training 80/100 steps, 2.0 steps/s, 0:10 left, loss 0.25",
        "training 100/100 steps, 2.0 steps/s, loss 0.25",
    ]


def test_slow_work_is_told_in_seconds_per_unit(clock: Clock, capsys: pytest.CaptureFixture[str]):
    with track("training", 2000) as lines:
        lines.advance(5)
        clock.seconds += 20
        lines.advance(5)
    assert capsys.readouterr().out == "training 10/2000 steps, 4.0 s/step, 2:12:40 left\n"


@pytest.mark.parametrize(
    ("tracing", "expected"),
    [
        (
            20.0,
            [
                "training 1/40 steps",
                "training 21/40 steps, 1.2 steps/s, 0:15 left",
                "training 40/40 steps, 1.1 s/step",  # of everything
            ],
        ),
        (
            4.0,
            [
                "training 11/40 steps, 1.2 steps/s, 0:23 left",
                "training 31/40 steps, 1.2 steps/s, 0:07 left",
                "training 40/40 steps, 1.4 steps/s",
            ],
        ),
    ],
)
def test_the_time_left_is_estimated_without_the_beginning(
    tracing: float, expected: list[str], clock: Clock, capsys: pytest.CaptureFixture[str]
):
    with track("training", 40) as lines:
        for seconds in (tracing, 8.0, 8.0, 8.0):  # of ten steps that are made in one call
            clock.seconds += seconds
            for _ in range(10):
                lines.advance()
    assert capsys.readouterr().out.splitlines() == expected


def test_an_unknown_total(capsys: pytest.CaptureFixture[str]):
    with track("reading", None, unit="files") as reporter:
        reporter.advance(3)
    assert capsys.readouterr().out.startswith("reading 3 files, ")


def test_messages_are_lines_of_their_own_even_if_silent(capsys: pytest.CaptureFixture[str]):
    with track("training", 3, silent=True) as reporter:
        reporter.advance(3, notes=("loss 1",))
        reporter.message("step 3: mIoU 0.5")
    assert capsys.readouterr() == ("step 3: mIoU 0.5\n", "")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdout", terminal)
    with track("training", 40, start=10) as reporter:
        reporter.advance(30, notes=("loss [0.25]", "x" * 200))
        reporter.message("step 40: [saved]")
    output = terminal.getvalue()
    assert "training" in output and "40/40" in output and "loss [0.25]" in output
    assert "step 40: [saved]\n" in output.replace("\r", "")
