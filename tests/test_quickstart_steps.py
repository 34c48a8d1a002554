"""The length of the quickstart follows from the speed of its first steps."""

from __future__ import annotations

import sys

import pytest
import quickstart_steps


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.1, "TRAIN_STEPS=60"), (1.5, "TRAIN_STEPS=40"), (60.0, "TRAIN_STEPS=25")],
    ids=["all steps fit", "some", "too slow for the least"],
)
def test_steps_that_fit(
    seconds: float,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(quickstart_steps, "_seconds_of_a_step", lambda config: seconds)
    run = "--gin_file=runs/shapes_mobilenet_v2.gin"
    words = [run, "--gin_bindings=TRAIN_STEPS=60", "--minutes=1", "--least=25"]
    monkeypatch.setattr(sys, "argv", ["quickstart_steps.py", *words])
    quickstart_steps.main()
    assert capsys.readouterr().out.strip() == expected
