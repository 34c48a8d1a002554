"""Every loss of the table: what must hold for all, and values computed by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from deeplab.training.losses import LOSSES, softmax_cross_entropy

every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))


@pytest.fixture
def logits() -> tf.Variable:
    return tf.Variable(np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32))


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(1).choice([0, 1, 2, 255], (2, 4, 5)).astype(np.int32)


@every_loss
def test_ignored_pixels_have_no_gradient(
    loss: object, logits: tf.Variable, labels: np.ndarray
) -> None:
    with tf.GradientTape() as tape:
        total, count = loss(tf.constant(labels), logits, ignore_label=255)
    gradient = tape.gradient(total, logits).numpy()
    assert count.numpy() == (labels != 255).sum()
    np.testing.assert_array_equal(gradient[labels == 255], 0)
    assert np.abs(gradient[labels != 255]).sum() > 0


@every_loss
def test_nothing_labelled_is_no_loss(loss: object, logits: tf.Variable) -> None:
    with tf.GradientTape() as tape:
        total, count = loss(tf.fill([2, 4, 5], 255), logits, ignore_label=255)
    assert (total.numpy(), count.numpy()) == (0, 0)
    assert np.all(np.isfinite(tape.gradient(total, logits)))


@every_loss
def test_order_of_the_pixels_does_not_matter(
    loss: object, logits: tf.Variable, labels: np.ndarray
) -> None:
    order = np.random.default_rng(2).permutation(labels.size)
    shuffled = loss(
        tf.constant(labels.ravel()[order].reshape(labels.shape)),
        tf.reshape(tf.gather(tf.reshape(logits, [-1, 3]), order), logits.shape),
        ignore_label=255,
    )
    for ours, other in zip(
        loss(tf.constant(labels), logits, ignore_label=255), shuffled, strict=True
    ):
        assert ours.numpy() == pytest.approx(other.numpy(), rel=1e-6)


def test_cross_entropy_by_hand() -> None:
    logits = tf.constant([[[[0.0, math.log(3.0)], [5.0, 5.0], [9.0, -9.0]]]])
    labels = tf.constant([[[1, 0, 255]]])
    total, count = softmax_cross_entropy(labels, logits, ignore_label=255)
    assert total.numpy() == pytest.approx(math.log(4 / 3) + math.log(2))
    assert count.numpy() == 2
