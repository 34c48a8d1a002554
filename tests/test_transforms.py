"""Augmentation: nothing is ever invented. The original's numbers: test_golden_preprocess.py."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.data.transforms import (
    augment_pair,
    pad_pair,
    random_crop,
    random_flip,
    random_scale,
    scale_pair,
)

IGNORE = 255
PAD = (123.15, 115.90, 103.06)


def pair_of(height: int, width: int, seed: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    label = rng.choice(np.array([0, 3, 7, IGNORE], np.int32), (height, width))
    return tf.constant(image), tf.constant(label)


def test_scale_without_step_is_continuous() -> None:
    drawn = [float(random_scale(0.5, 2.0, 0, (7, k))) for k in range(50)]
    assert len(set(drawn)) == 50
    assert 0.5 <= min(drawn) < 0.8 and 1.7 < max(drawn) <= 2.0
    assert float(random_scale(1.5, 1.5, 0.25, (7, 0))) == 1.5


def test_at_scale_one_the_image_is_unchanged() -> None:
    image, label = pair_of(9, 13)
    scaled, scaled_label = scale_pair(image, label, tf.constant(1.0))
    np.testing.assert_array_equal(scaled, image)
    np.testing.assert_array_equal(scaled_label, label)


def test_one_pixel_is_not_scaled_to_nothing() -> None:
    image, label = scale_pair(*pair_of(1, 5), tf.constant(0.5))
    assert image.shape == (1, 2, 3) and label.shape == (1, 2)


def test_cropping_before_padding_is_padding_before_cropping() -> None:
    size = (8, 20)
    for k in range(20):
        image, label = pair_of(12, 15, seed=k)
        image = tf.cast(image, tf.float32)
        options = {"pad_value": PAD, "ignore_label": IGNORE}
        first = pad_pair(*random_crop(image, label, size, (1, k)), size, **options)
        second = random_crop(*pad_pair(image, label, size, **options), size, (1, k))
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)


def test_every_window_and_both_directions_occur() -> None:
    rows = tf.range(6 * 5)
    label = tf.reshape(rows, (6, 5))
    image = tf.repeat(tf.cast(label, tf.float32)[..., None], 3, axis=2)
    corners = [int(random_crop(image, label, (4, 4), (3, k))[1][0, 0]) for k in range(100)]
    assert sorted(set(corners)) == [0, 1, 5, 6, 10, 11]
    flipped = [int(random_flip(image, label, 0.5, (3, k))[1][0, 0]) for k in range(100)]
    assert 30 < flipped.count(0) < 70 and set(flipped) == {0, 4}
    assert all(int(random_flip(image, label, 0, (3, k))[1][0, 0]) == 0 for k in range(20))
    assert all(int(random_flip(image, label, 1, (3, k))[1][0, 0]) == 4 for k in range(20))


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    crop=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    step=st.sampled_from([0.0, 0.25]),
    seed=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
)
def test_labels_are_never_invented_and_move_with_the_image(
    height: int, width: int, crop: tuple[int, int], step: float, seed: tuple[int, int]
) -> None:
    ids = np.array([2, 40, 200], np.int32)
    label = np.random.default_rng(height * 31 + width).choice(ids, (height, width))
    # Columns of one class are as bright as its id: where the image is exact, so is the label.
    image = np.repeat(label.astype(np.uint8)[..., None], 3, axis=2)
    scaled, scaled_label = augment_pair(
        tf.constant(image),
        tf.constant(label),
        tf.constant(seed, tf.int64),
        crop_size=crop,
        scale_range=(0.5, 2.0),
        scale_step=step,
        flip_probability=0.5,
        pad_value=(77.0, 78.0, 79.0),
        ignore_label=IGNORE,
    )
    pixels, labels = scaled.numpy(), scaled_label.numpy()
    assert pixels.shape == (*crop, 3) and labels.shape == crop
    assert pixels.dtype == np.float32 and labels.dtype == np.int32
    assert set(labels.ravel()) <= {*label.ravel(), IGNORE}
    # Padding of one is padding of the other: no brightness of a class equals its neighbours'.
    padded = (pixels == (77.0, 78.0, 79.0)).all(axis=2)
    np.testing.assert_array_equal(padded, labels == IGNORE)
    inside = ~padded
    assert pixels[inside].min(initial=200) >= 2 - 1e-3
    assert pixels[inside].max(initial=2) <= 200 + 1e-3


@pytest.mark.parametrize("step", [0.0, 0.25])
def test_uniform_areas_stay_exact(step: float) -> None:
    label = np.repeat(np.array([2, 40, 200], np.int32), 12)[None].repeat(24, axis=0)
    image = np.repeat(label.astype(np.uint8)[..., None], 3, axis=2)
    for k in range(20):
        pixels, labels = augment_pair(
            tf.constant(image),
            tf.constant(label),
            tf.constant((9, k), tf.int64),
            crop_size=(16, 20),
            scale_range=(0.5, 2.0),
            scale_step=step,
            flip_probability=0.5,
            pad_value=(255.0, 255.0, 255.0),
            ignore_label=IGNORE,
        )
        between = np.abs(pixels[..., 0] - tf.cast(labels, tf.float32)) > 0.01
        # A pixel between two classes has both neighbours' brightness mixed; at most two columns
        # at each of the two borders, at twice the size.
        assert np.count_nonzero(between.any(axis=0)) <= 4


def test_equal_seeds_give_equal_results_whatever_ran_before() -> None:
    image, label = pair_of(20, 30)
    options = {
        "crop_size": (16, 16),
        "scale_range": (0.5, 2.0),
        "scale_step": 0.25,
        "flip_probability": 0.5,
        "pad_value": PAD,
        "ignore_label": IGNORE,
    }
    results = []
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        tf.random.uniform([3])
        results.append(augment_pair(image, label, tf.constant((5, 6), tf.int64), **options))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
