"""Strategies, by name and by what the machine has."""

from __future__ import annotations

import pytest

import deeplab
from deeplab.training.distribution.cluster import Cluster
from deeplab.training.distribution.strategies import check_strategy, make_strategy


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
