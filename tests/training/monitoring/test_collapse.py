"""Predictions of one class are noticed, once, and only where they are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from deeplab.training.monitoring.collapse import Collapse

NAMES = ("background", "cat", "dog")
COLLAPSED = [[60, 0, 0], [30, 0, 0], [10, 0, 0]]
GOOD = [[60, 0, 0], [5, 25, 0], [5, 0, 5]]


@pytest.mark.parametrize(
    ("matrix", "found"),
    [
        (COLLAPSED, True),
        (GOOD, False),
        ([[1000, 0, 0], [0, 0, 0], [0, 0, 0]], False),  # nothing else was there to be found
        ([[970, 0, 0], [30, 0, 0], [0, 0, 0]], False),  # 3 % of others: easily missed
        ([[0, 900, 0], [0, 100, 0], [0, 0, 0]], True),  # any class
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], False),  # nothing labeled
    ],
)
def test_what_a_collapse_is(matrix: list[list[int]], found: bool) -> None:
    complaint = Collapse(NAMES).add(np.array(matrix), "the evaluation of step 9")
    assert (complaint is not None) == found


def test_complaint_names_class_and_shares() -> None:
    complaint = Collapse(NAMES).add(np.array(COLLAPSED), "the evaluation of step 9")
    assert complaint is not None
    for value in ("'background'", "100.0%", "60.0%", "the evaluation of step 9"):
        assert value in complaint


def test_once_for_each_collapse() -> None:
    collapse = Collapse(NAMES)
    matrices = [COLLAPSED, COLLAPSED, GOOD, COLLAPSED]
    found = [bool(collapse.add(np.array(matrix), "x")) for matrix in matrices]
    assert found == [True, False, False, True]


def test_several_looks_are_judged_together() -> None:
    # Images of one class each: only together do they show that the cats are lost.
    looks = [np.diag([50, 0, 0]), np.array([[0, 0, 0], [50, 0, 0], [0, 0, 0]]), np.diag([50, 0, 0])]
    collapse = Collapse(NAMES, together=3)
    assert [bool(collapse.add(look, "x")) for look in looks] == [False, False, True]
