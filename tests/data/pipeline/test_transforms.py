"""Augmentation: nothing is ever invented. The original's numbers: test_golden_preprocess.py."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.data.pipeline import resampling
from deeplab.data.pipeline.resampling import Window, image_window, label_window
from deeplab.data.pipeline.transforms import (
    augment_pair,
    pad_pair,
    random_scale,
    random_window,
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


def augmented(image: tf.Tensor, label: tf.Tensor, seed: int, **options: Any) -> list[np.ndarray]:
    options = {
        "crop_size": (16, 16),
        "scale_range": (0.5, 2.0),
        "scale_step": 0.25,
        "flip_probability": 0.5,
        "pad_value": PAD,
        "ignore_label": IGNORE,
        **options,
    }
    seeds = tf.constant((5, seed), tf.int64)
    return [tensor.numpy() for tensor in augment_pair(image, label, seeds, **options)]


def test_at_scale_one_the_image_is_unchanged() -> None:
    image, label = pair_of(9, 13)
    options = {"crop_size": (9, 13), "scale_range": (1.0, 1.0), "flip_probability": 0.0}
    pixels, labels = augmented(image, label, 0, **options)
    np.testing.assert_array_equal(pixels, image)
    np.testing.assert_array_equal(labels, label)


def test_one_pixel_is_not_scaled_to_nothing() -> None:
    window = random_window(
        tf.constant((1, 5)),
        tf.zeros([2, 2], tf.int32),
        crop_size=(9, 9),
        scale_range=(0.5, 0.5),
        scale_step=0,
    )
    assert window.size.numpy().tolist() == [1, 2] == window.extent.numpy().tolist()


@pytest.mark.parametrize("pad_value", [PAD, (127.5, 127.5, 127.5)])
def test_cropping_before_padding_is_padding_before_cropping(
    pad_value: tuple[float, float, float],
) -> None:
    for k in range(20):
        image, label = pair_of(12, 15, seed=k)
        options = {"pad_value": pad_value, "scale_range": (1.0, 1.0)}
        cropped = augmented(image, label, k, crop_size=(8, 20), **options)
        filled = pad_pair(
            tf.cast(image, tf.float32), label, (8, 20), pad_value=pad_value, ignore_label=IGNORE
        )
        cropped_late = augmented(*filled, k, crop_size=(8, 20), **options)
        for one, other in zip(cropped, cropped_late, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("compiled", [True, False])
@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    part=st.tuples(*[st.floats(0, 1)] * 4),
    channels=st.sampled_from([1, 3, 4]),
    flipped=st.booleans(),
)
def test_a_window_is_cut_from_what_the_kernels_resize(
    source: tuple[int, int],
    size: tuple[int, int],
    part: tuple[float, ...],
    channels: int,
    flipped: bool,
    compiled: bool,
) -> None:
    rng = np.random.default_rng(source[0] * 41 + source[1])
    image = rng.integers(0, 256, (*source, channels), np.uint8)
    label = rng.integers(0, 99999, source, np.int32)
    begin = [int(part[k] * (size[k] - 1)) for k in (0, 1)]
    extent = [max(1, int(part[k + 2] * (size[k] - begin[k]))) for k in (0, 1)]
    window = Window(*(tf.constant(pair) for pair in (source, size, begin, extent)))
    rows, columns = (slice(begin[k], begin[k] + extent[k]) for k in (0, 1))
    asked = []

    def read(first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        asked.append((*first.numpy(), *end.numpy()))
        return tf.constant(image[first[0] : end[0], first[1] : end[1]])

    whole = tf.raw_ops.ResizeBilinear(
        images=tf.constant(image[None], tf.float32), size=size, align_corners=True
    )
    # The same of XLA and of TensorFlow's operations.
    with mock.patch.object(resampling, "can_compile", lambda: compiled):
        pixels = image_window(read, window, crop_size=(90, 90), flipped=flipped).numpy()
    expected = whole[0, rows, columns].numpy()
    np.testing.assert_allclose(pixels, expected[:, ::-1] if flipped else expected, atol=1e-4)
    whole = tf.raw_ops.ResizeNearestNeighbor(
        images=tf.constant(label[None, ..., None]), size=size, align_corners=True
    )
    expected = whole[0, rows, columns, 0].numpy()
    np.testing.assert_array_equal(
        label_window(tf.constant(label), window, flipped=flipped),
        expected[:, ::-1] if flipped else expected,
    )
    ((top, left, bottom, right),) = asked
    assert 0 <= top < bottom <= source[0] and 0 <= left < right <= source[1]
    if size[0] > source[0] and extent[0] * extent[1] < 0.3 * size[0] * size[1]:
        assert bottom - top <= extent[0] + 2, "more was read than the window shows"


def test_the_kernel_is_compiled_here() -> None:
    assert resampling.can_compile()


def test_a_window_of_a_large_image_is_sampled_exactly() -> None:
    image, label = pair_of(1024, 2048)
    for k in range(3):
        window = random_window(
            tf.constant((1024, 2048)),
            tf.constant([(1, k), (3, k)]),
            crop_size=(129, 257),
            scale_range=(0.5 + 0.7 * k, 0.5 + 0.7 * k),
            scale_step=0,
        )
        (top, left), (height, width) = window.begin.numpy(), window.extent.numpy()
        whole = tf.raw_ops.ResizeBilinear(
            images=tf.cast(image[None], tf.float32), size=window.size, align_corners=True
        )[0, top : top + height, left : left + width]
        pixels = image_window(
            lambda first, end: cut(image, first, end), window, crop_size=(129, 257)
        )
        np.testing.assert_allclose(pixels, whole, atol=1e-4)
        whole = tf.raw_ops.ResizeNearestNeighbor(
            images=label[None, ..., None], size=window.size, align_corners=True
        )[0, top : top + height, left : left + width, 0]
        np.testing.assert_array_equal(label_window(label, window), whole)


def cut(image: tf.Tensor, first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    return image[first[0] : end[0], first[1] : end[1]]


def test_a_distortion_sees_the_window_before_it_is_padded() -> None:
    image, label = pair_of(6, 7)
    seen = []

    def distort(image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seen.append((image.shape, label.shape, image.dtype, tuple(seed.numpy())))
        return 255 - image, label

    options = {"scale_range": (1.0, 1.0), "flip_probability": 1.0, "crop_size": (8, 5)}
    for k in (0, 0, 1):
        plain, labels = augmented(image, label, k, **options)
        pixels, same_labels = augmented(image, label, k, distort=distort, **options)
        np.testing.assert_array_equal(labels, same_labels)
        np.testing.assert_array_equal(pixels[:6], 255 - plain[:6])
        np.testing.assert_array_equal(pixels[6:], plain[6:])
    assert all(call[:3] == ((6, 5, 3), (6, 5), tf.float32) for call in seen)
    assert seen[0] == seen[1] != seen[2], "its seed follows the element's"


@pytest.mark.slow
def test_every_window_and_both_directions_occur() -> None:
    rows = tf.range(6 * 5)
    label = tf.reshape(rows, (6, 5))
    image = tf.repeat(tf.cast(label, tf.float32)[..., None], 3, axis=2)
    options = {"crop_size": (4, 4), "scale_range": (1.0, 1.0), "flip_probability": 0.0}
    corners = [int(augmented(image, label, k, **options)[1][0, 0]) for k in range(100)]
    assert sorted(set(corners)) == [0, 1, 5, 6, 10, 11]
    image, label = (tf.identity(tensor[:4, :4]) for tensor in (image, label))
    options = {**options, "crop_size": (4, 6)}
    for probability, counts in ((0.5, range(31, 70)), (0.0, [0]), (1.0, [100])):
        options["flip_probability"] = probability
        results = [augmented(image, label, k, **options) for k in range(100)]
        flipped = [int(labels[0, 0]) == IGNORE for _, labels in results]
        assert flipped.count(True) in counts
        for (pixels, labels), mirrored in zip(results, flipped, strict=True):
            rows = labels[:, :1:-1] if mirrored else labels[:, :4]
            np.testing.assert_array_equal(rows, label)
            margin = (slice(None), slice(0, 2) if mirrored else slice(4, 6))
            assert (labels[margin] == IGNORE).all()
            np.testing.assert_allclose(pixels[margin], np.broadcast_to(PAD, (4, 2, 3)), rtol=1e-6)


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
    # Padding of one is padding of the other: no brightness of a class equals its neighbors'.
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
        # A pixel between two classes has both neighbors' brightness mixed; at most two columns
        # at each of the two borders, at twice the size.
        assert np.count_nonzero(between.any(axis=0)) <= 4


def test_equal_seeds_give_equal_results_whatever_ran_before() -> None:
    image, label = pair_of(20, 30)
    results = []
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        tf.random.uniform([3])
        results.append(augmented(image, label, 6))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
