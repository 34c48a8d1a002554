"""Batch norm against values computed by hand."""

from __future__ import annotations

import numpy as np

from deeplab.models.batch_norm import BatchNorm


def test_batch_norm_averages_the_unbiased_variance() -> None:
    layer = BatchNorm(epsilon=1e-3, momentum=0.9)
    x = np.array([1.0, 2.0, 4.0, 9.0], np.float32).reshape(1, 2, 2, 1)
    y = layer(x, training=True).numpy().ravel()
    np.testing.assert_allclose(y, (x.ravel() - 4.0) / np.sqrt(9.5 + 1e-3), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), [0.1 * 4.0], rtol=1e-6)
    # Biased 38 / 4, unbiased 38 / 3.
    np.testing.assert_allclose(layer.moving_variance.numpy(), [0.9 + 0.1 * 38 / 3], rtol=1e-6)


def test_batch_norm_of_a_single_value_stays_finite() -> None:
    layer = BatchNorm(epsilon=1e-5, momentum=0.9)
    layer(np.full((1, 1, 1, 3), 5.0, np.float32), training=True)
    np.testing.assert_allclose(layer.moving_variance.numpy(), [0.9] * 3, rtol=1e-6)


def test_batch_norm_at_inference() -> None:
    layer = BatchNorm(epsilon=1e-3, momentum=0.9)
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype(np.float32)
    layer.build(x.shape)
    for name, value in (("gamma", 2), ("beta", 1), ("moving_mean", 0.5), ("moving_variance", 4)):
        getattr(layer, name).assign([value] * 2)
    expected = 2 * (x - 0.5) / np.sqrt(4 + 1e-3) + 1
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
