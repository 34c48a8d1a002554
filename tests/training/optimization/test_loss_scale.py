"""The loss scale of half precision."""

from __future__ import annotations

import tensorflow as tf

from deeplab.training.optimization.loss_scale import LossScale


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
