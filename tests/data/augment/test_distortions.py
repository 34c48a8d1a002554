"""Distortions of one image: labels are never invented, and move with the image."""

from __future__ import annotations

import colorsys
import functools

import numpy as np
import pytest
import tensorflow as tf
from augment_pairs import (
    COLORS,
    FILL,
    HOSTILE,
    IGNORE,
    Change,
    changed,
    colored_blocks,
    compiled,
    interior,
    random_pair,
    seeds,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.data.augment import DISTORTIONS, AugmentConfig, distortion
from deeplab.data.augment.geometry import affine_pair, rotate_pair
from deeplab.data.augment.photometric import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    photometric,
)
from deeplab.errors import DeepLabError

SEED = (5, 6)
PHOTOMETRIC = {"brightness": 32.0, "contrast": 0.5, "saturation": 0.5, "hue": 18.0}
NEUTRAL = dict.fromkeys(PHOTOMETRIC, 0.0)
ALL = tuple(DISTORTIONS)


@functools.cache
def distorting(*names: str) -> Change:
    """The distortions of those names, with their defaults."""
    change = distortion(
        AugmentConfig(distortions=names), pad_value=FILL.pad_value, ignore_label=FILL.ignore_label
    )
    assert change is not None
    return compiled(change)


def test_by_default_nothing_is_distorted() -> None:
    assert distortion(AugmentConfig(), pad_value=(0.0,) * 3, ignore_label=IGNORE) is None


@pytest.mark.parametrize("names", [*((name,) for name in DISTORTIONS), ALL])
@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 24), width=st.integers(1, 24), seed=seeds)
@pytest.mark.slow
def test_no_label_is_invented(
    names: tuple[str, ...], height: int, width: int, seed: tuple[int, int]
) -> None:
    changed(distorting(*names), *random_pair(height, width, seed[0]), seed)


@pytest.mark.parametrize("names", [*((name,) for name in DISTORTIONS), ALL])
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_the_label_moves_with_the_image(names: tuple[str, ...], seed: tuple[int, int]) -> None:
    image, label = changed(distorting(*names), *colored_blocks(seed[1]), seed)
    # Colors may have changed, but a class still has one color, inside of its segments.
    inside = interior(label, margin=4)
    assert inside.any()
    for index in range(len(COLORS)):
        colors = image[inside & (label == index)]
        if len(colors):
            np.testing.assert_allclose(colors, np.broadcast_to(colors[0], colors.shape), atol=0.02)


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_images(name: str, case: str) -> None:
    for k in range(8):
        changed(distorting(name), *HOSTILE[case], (3, k))


@pytest.mark.parametrize("name", DISTORTIONS)
def test_seeds_make_a_difference(name: str) -> None:
    pair = random_pair(20, 30, 0)
    results = {changed(distorting(name), *pair, (3, k))[0].tobytes() for k in range(12)}
    assert len(results) > 3


def test_the_order_is_that_of_the_names() -> None:
    pair = random_pair(20, 30, 0)
    differences = [
        np.abs(
            changed(distorting("photometric", "rotation"), *pair, (3, k))[0]
            - changed(distorting("rotation", "photometric"), *pair, (3, k))[0]
        ).max()
        for k in range(8)
    ]
    assert max(differences) > 1


def pixel(*values: float) -> tf.Tensor:
    return tf.constant([[values]], tf.float32)


def test_photometric_changes_by_hand() -> None:
    np.testing.assert_array_equal(adjust_brightness(pixel(0, 100, 250), 10.0), pixel(10, 110, 255))
    np.testing.assert_array_equal(adjust_brightness(pixel(0, 100, 250), -10.0), pixel(0, 90, 240))
    np.testing.assert_array_equal(adjust_contrast(pixel(0, 100, 250), 1.5), pixel(0, 150, 255))
    np.testing.assert_array_equal(adjust_contrast(pixel(0, 100, 250), 0.5), pixel(0, 50, 125))
    # Saturation is 1 - min / max: 0.75 of (200, 100, 50) becomes 0.375, or at most 1.
    halved, doubled = pixel(200, 150, 125), pixel(200, 200 / 3, 0)
    np.testing.assert_allclose(adjust_saturation(pixel(200, 100, 50), 0.5), halved, atol=1e-3)
    np.testing.assert_allclose(adjust_saturation(pixel(200, 100, 50), 2.0), doubled, atol=1e-3)
    np.testing.assert_allclose(adjust_saturation(pixel(200, 100, 50), 0.0), pixel(200, 200, 200))
    # A third of a turn leads from red to green.
    np.testing.assert_allclose(adjust_hue(pixel(255, 0, 0), 120.0), pixel(0, 255, 0), atol=1e-3)
    np.testing.assert_allclose(adjust_hue(pixel(255, 0, 0), -120.0), pixel(0, 0, 255), atol=1e-3)
    np.testing.assert_allclose(adjust_hue(pixel(80, 80, 80), 18.0), pixel(80, 80, 80), atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    color=st.tuples(*[st.integers(0, 255)] * 3),
    degrees=st.floats(-180, 180, width=32),
    factor=st.floats(0, 2, width=32),
)
def test_hue_and_saturation_are_those_of_hsv(
    color: tuple[int, int, int], degrees: float, factor: float
) -> None:
    hue, saturation, value = colorsys.rgb_to_hsv(*color)
    turned = colorsys.hsv_to_rgb((hue + degrees / 360) % 1, saturation, value)
    np.testing.assert_allclose(adjust_hue(pixel(*color), degrees), pixel(*turned), atol=0.05)
    stronger = colorsys.hsv_to_rgb(hue, min(saturation * factor, 1), value)
    result = adjust_saturation(pixel(*color), factor)
    np.testing.assert_allclose(result, pixel(*stronger), atol=0.05)


@pytest.mark.parametrize(
    "off", [{"photometric_probability": 0.0, **PHOTOMETRIC}, {"photometric_probability": 1.0}]
)
def test_photometric_distortion_without_strength_or_probability(off: dict[str, float]) -> None:
    image, label = random_pair(9, 7, 0)
    for k in range(10):
        result, same_label = photometric(image, label, (3, k), **{**NEUTRAL, **off})
        np.testing.assert_array_equal(result, image)
        assert same_label is label


@pytest.mark.parametrize(
    ("name", "strength", "low", "high"),
    [
        ("brightness", 32.0, lambda x: x - 32, lambda x: x + 32),
        ("contrast", 0.5, lambda x: x * 0.5, lambda x: x * 1.5),
    ],
)
def test_photometric_changes_are_drawn_from_the_whole_range(
    name: str, strength: float, low: object, high: object
) -> None:
    image = np.full((1, 1, 3), 100.0, np.float32)
    settings_ = {**NEUTRAL, name: strength, "photometric_probability": 1.0}
    values = [float(photometric(image, None, (3, k), **settings_)[0][0, 0, 0]) for k in range(200)]
    least, greatest = low(100.0), high(100.0)  # type: ignore[operator]
    assert least <= min(values) < least + 3 and greatest - 3 < max(values) <= greatest
    assert abs(np.mean(values) - 100) < 5


def test_each_photometric_change_happens_half_the_time() -> None:
    image = np.array([[[200.0, 100.0, 50.0]]], np.float32)
    for name, strength in PHOTOMETRIC.items():
        settings_ = {**NEUTRAL, name: strength, "photometric_probability": 0.5}
        results = [photometric(image, None, (4, k), **settings_)[0] for k in range(100)]
        happened = sum(not np.array_equal(result, image) for result in results)
        assert 30 < happened < 70, name


def test_contrast_comes_before_or_after_the_colors() -> None:
    # Brightened until it clips, a color loses what a change of the hue would have turned.
    image = np.array([[[250.0, 200.0, 150.0]]], np.float32)
    seen = set()
    for k in range(60):
        only = {**NEUTRAL, "photometric_probability": 1.0}
        contrast = photometric(image, None, (4, k), **{**only, "contrast": 0.5})[0]
        if float(tf.reduce_max(contrast)) < 255:
            continue
        both = photometric(image, None, (4, k), **{**only, "contrast": 0.5, "hue": 90.0})[0]
        # The hue of what was clipped first, or of the image itself.
        turned = photometric(image, None, (4, k), **{**only, "hue": 90.0})[0]
        clipped_first = photometric(contrast, None, (4, k), **{**only, "hue": 90.0})[0]
        seen.add(bool(np.allclose(both, clipped_first, atol=1e-2)))
        assert not np.allclose(both, turned)
    assert seen == {True, False}


def test_colors_need_rgb_and_brightness_does_not() -> None:
    image = np.full((4, 4, 2), 100.0, np.float32)
    with pytest.raises(DeepLabError, match="saturation .* not in images of 2 channels"):
        photometric(image, None, SEED, **PHOTOMETRIC, photometric_probability=0.5)
    colorless = {**PHOTOMETRIC, "saturation": 0.0, "hue": 0.0}
    result, _ = photometric(image, None, SEED, **colorless, photometric_probability=1.0)
    assert result.shape == image.shape


def test_photometric_changes_leave_further_channels_alone() -> None:
    image = np.random.default_rng(2).uniform(0, 255, (6, 7, 5)).astype(np.float32)
    for number in range(4):
        seed = (number, 3)
        result, _ = photometric(image, None, seed, **PHOTOMETRIC, photometric_probability=1.0)
        colors, _ = photometric(
            image[..., :3], None, seed, **PHOTOMETRIC, photometric_probability=1.0
        )
        np.testing.assert_array_equal(result[..., :3], colors)
        np.testing.assert_array_equal(result[..., 3:], image[..., 3:])
        assert not np.array_equal(colors, image[..., :3])


def test_a_quarter_turn_and_a_half_by_hand() -> None:
    image, label = random_pair(9, 9, 4)
    for degrees, quarters in ((90.0, 1), (180.0, 2), (-90.0, -1)):
        turned, turned_label = rotate_pair(image, label, degrees, fill=FILL)
        np.testing.assert_allclose(turned, np.rot90(image, quarters), atol=0.01)
        np.testing.assert_array_equal(turned_label, np.rot90(label, quarters))


def test_a_shift_by_hand() -> None:
    image, label = random_pair(5, 6, 4)
    moved, moved_label = affine_pair(image, label, fill=FILL, shift=(2.0, -1.0))
    np.testing.assert_array_equal(moved[1:, :4], image[:-1, 2:])
    np.testing.assert_array_equal(moved_label[1:, :4], label[:-1, 2:])
    assert (moved_label.numpy()[0] == IGNORE).all()
    assert (moved_label.numpy()[:, 4:] == IGNORE).all()
    np.testing.assert_array_equal(moved[0], np.broadcast_to(FILL.pad_value, (6, 3)))


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 99))
def test_the_identity_changes_nothing(height: int, width: int, seed: int) -> None:
    image, label = random_pair(height, width, seed)
    image = image / np.float32(3)
    for moved, moved_label in (
        affine_pair(image, label, fill=FILL),
        rotate_pair(image, label, 0.0, fill=FILL),
    ):
        np.testing.assert_array_equal(moved, image)
        np.testing.assert_array_equal(moved_label, label)


@settings(max_examples=30, deadline=None)
@given(degrees=st.floats(-180, 180, width=32), seed=st.integers(0, 99))
def test_what_a_rotation_brings_in_is_pad_and_ignored(degrees: float, seed: int) -> None:
    image, label = colored_blocks(seed)
    moved, moved_label = rotate_pair(image, label, degrees, fill=FILL)
    labels = moved_label.numpy()
    padded = (moved.numpy() == np.array(FILL.pad_value, np.float32)).all(axis=-1)
    np.testing.assert_array_equal(padded, labels == IGNORE)
    inside = interior(labels, margin=2)
    assert inside.any()
    np.testing.assert_allclose(moved.numpy()[inside], COLORS[labels[inside]], atol=0.01)


def test_large_label_ids_are_moved_exactly() -> None:
    label = np.arange(65536 - 49, 65536, dtype=np.int32).reshape(7, 7)
    _, turned = rotate_pair(
        np.zeros((7, 7, 1), np.float32), label, 90.0, fill=FILL._replace(pad_value=(0.0,))
    )
    np.testing.assert_array_equal(turned, np.rot90(label))
