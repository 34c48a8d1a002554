"""RandAugment: every row of its table, and the drawing from it."""

from __future__ import annotations

import functools
from collections.abc import Callable

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
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from deeplab.data.augment import AugmentConfig, distortion
from deeplab.data.augment.rand_augment import (
    OPERATIONS,
    apply_operation,
    equalize,
    rand_augment,
    smoothed,
)

MOVING = [name for name, row in OPERATIONS.items() if row.moves]
STILL = [name for name, row in OPERATIONS.items() if not row.moves]
STRONG = [name for name, row in OPERATIONS.items() if row.has_strength]
SIGNED = [name for name, row in OPERATIONS.items() if row.signed]

# Of 0..10. Every other one would be another graph.
WEAK, STRONGEST = 2.0, 10.0


@functools.cache
def operation(name: str, magnitude: float) -> Change:
    return compiled(lambda *pair_and_seed: _applied(name, magnitude, *pair_and_seed))


def _applied(
    name: str, magnitude: float, image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    return apply_operation(name, image, label, magnitude, seed, FILL)


def test_the_table_is_that_of_the_paper() -> None:
    moving = {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"}
    colors = {"identity", "autocontrast", "equalize", "solarize", "posterize", "color"}
    colors |= {"contrast", "brightness", "sharpness"}
    assert OPERATIONS.keys() >= moving | colors
    assert set(MOVING) >= moving and not colors & set(MOVING)


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    magnitude=st.sampled_from([WEAK, STRONGEST]),
    seed=seeds,
)
def test_no_label_is_invented(
    name: str, height: int, width: int, magnitude: float, seed: tuple[int, int]
) -> None:
    image, label = random_pair(height, width, seed[0])
    _, new_label = changed(operation(name, magnitude), image, label, seed)
    if not OPERATIONS[name].moves:
        np.testing.assert_array_equal(new_label, label)


@pytest.mark.parametrize("name", MOVING)
@settings(max_examples=15, deadline=None)
@given(magnitude=st.sampled_from([WEAK, STRONGEST]), seed=seeds)
def test_the_label_moves_with_the_image(name: str, magnitude: float, seed: tuple[int, int]) -> None:
    image, label = changed(operation(name, magnitude), *colored_blocks(seed[1]), seed)
    padded = (image == np.array(FILL.pad_value, np.float32)).all(axis=-1)
    np.testing.assert_array_equal(padded, label == IGNORE)
    inside = interior(label, margin=2)
    assert inside.any()
    np.testing.assert_allclose(image[inside], COLORS[label[inside]], atol=0.01)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_images(name: str, case: str) -> None:
    for k in range(2):
        changed(operation(name, STRONGEST), *HOSTILE[case], (3, k))


@pytest.mark.parametrize("name", STRONG)
@pytest.mark.parametrize("case", ["noise", *HOSTILE])
def test_magnitude_0_changes_nothing(name: str, case: str) -> None:
    image, label = HOSTILE.get(case, random_pair(21, 17, 5))
    new_image, new_label = changed(operation(name, 0.0), image, label, (1, 2))
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_label, label)


@pytest.mark.parametrize("name", OPERATIONS)
def test_directions_and_strengths(name: str) -> None:
    image, label = random_pair(40, 40, 6)
    image = 20 + image * np.float32(0.8)
    results = [changed(operation(name, STRONGEST), image, label, (4, k))[0] for k in range(20)]
    assert len({result.tobytes() for result in results}) == (2 if name in SIGNED else 1)
    weaker = changed(operation(name, WEAK), image, label, (4, 0))[0]
    stronger = changed(operation(name, STRONGEST), image, label, (4, 0))[0]
    assert np.array_equal(weaker, stronger) == (name not in STRONG)
    if name in STRONG:
        assert np.abs(stronger - image).mean() > np.abs(weaker - image).mean()
    assert np.array_equal(stronger, image) == (name == "identity")


def pillow_blend(enhancer: type, high: bool) -> Callable[[Image.Image], Image.Image]:
    return lambda image: enhancer(image).enhance(1.9 if high else 0.1)


# What Pillow, on which the paper's code builds, makes of an image at the greatest magnitude.
PILLOW: dict[str, list[Callable[[Image.Image], Image.Image]]] = {
    "identity": [lambda image: image],
    "autocontrast": [ImageOps.autocontrast],
    "equalize": [ImageOps.equalize],
    "solarize": [lambda image: ImageOps.solarize(image, 0)],
    "posterize": [lambda image: ImageOps.posterize(image, 4)],
    "color": [pillow_blend(ImageEnhance.Color, high) for high in (True, False)],
    "contrast": [pillow_blend(ImageEnhance.Contrast, high) for high in (True, False)],
    "brightness": [pillow_blend(ImageEnhance.Brightness, high) for high in (True, False)],
    "sharpness": [pillow_blend(ImageEnhance.Sharpness, high) for high in (True, False)],
}


@pytest.mark.parametrize("name", STILL)
def test_colors_are_those_of_pillow(name: str) -> None:
    rng = np.random.default_rng(3)
    coarse = tf.image.resize(rng.uniform(0, 255, (5, 6, 3)), (50, 60), "bicubic").numpy()
    image = (coarse.clip(0, 255) * 0.7 + 30).round().astype(np.float32)
    label = np.zeros((50, 60), np.int32)
    ours = [changed(operation(name, STRONGEST), image, label, (4, k))[0] for k in range(8)]
    theirs = [
        np.asarray(change(Image.fromarray(image.astype(np.uint8))), np.float32)
        for change in PILLOW[name]
    ]
    # Pillow rounds, in some operations twice, and sharpening multiplies that.
    distances = [[np.abs(one - other).max() for other in theirs] for one in ours]
    assert max(min(row) for row in distances) <= 2
    assert all(min(column) <= 2 for column in zip(*distances, strict=True))


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 30), width=st.integers(1, 60), top=st.integers(1, 256), seed=seeds)
def test_equalize_is_pillow_s_to_the_last_bit(
    height: int, width: int, top: int, seed: tuple[int, int]
) -> None:
    image = np.random.default_rng(seed).integers(0, top, (height, width, 3), np.uint8)
    expected = np.asarray(ImageOps.equalize(Image.fromarray(image)))
    np.testing.assert_array_equal(equalize(tf.constant(image, tf.float32)), expected)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=seeds)
def test_smoothing_is_pillow_s_but_for_rounding(
    height: int, width: int, seed: tuple[int, int]
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    expected = np.asarray(Image.fromarray(image).filter(ImageFilter.SMOOTH), np.float32)
    result = smoothed(tf.constant(image, tf.float32)).numpy()
    np.testing.assert_allclose(result, expected, atol=0.51)


def test_each_operation_is_drawn_equally_often() -> None:
    image, label = random_pair(40, 40, 6)
    image = 20 + image * np.float32(0.8)
    names = ("identity", "solarize", "equalize", "autocontrast")
    known = {
        changed(operation(name, STRONGEST), image, label, (0, 0))[0].tobytes(): name
        for name in names
    }
    assert len(known) == 4
    drawn = [
        known[
            rand_augment(
                tf.constant(image),
                tf.constant(label),
                tf.constant((8, k), tf.int64),
                rand_augment_count=1,
                rand_augment_magnitude=STRONGEST,
                rand_augment_operations=names,
                fill=FILL,
            )[0]
            .numpy()
            .tobytes()
        ]
        for k in range(120)
    ]
    assert all(15 <= drawn.count(name) <= 45 for name in names)


def test_operations_follow_one_another() -> None:
    image, label = random_pair(40, 40, 6)
    change = distortion(
        AugmentConfig(
            distortions=("rand_augment",),
            rand_augment_count=3,
            rand_augment_magnitude=10,
            rand_augment_operations=("solarize",),
        ),
        pad_value=FILL.pad_value,
        ignore_label=IGNORE,
    )
    assert change is not None
    # Inverting everything three times is inverting it once.
    result, _ = change(tf.constant(image), tf.constant(label), tf.constant((1, 2), tf.int64))
    np.testing.assert_array_equal(result, 255 - image)


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels: int) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (20, 16, channels))
    image = tf.constant(pixels, tf.float32)
    label = np.zeros((20, 16), np.int32)
    fill = FILL._replace(pad_value=(9.0,) * channels)
    for name in OPERATIONS:
        result, _ = apply_operation(name, image, label, 7.0, (1, 2), fill)
        assert result.shape == image.shape
        if channels > 3:
            # As of the first three alone, and the others stay, or move with them.
            rgb = fill._replace(pad_value=(9.0,) * 3)
            alone, _ = apply_operation(name, image[..., :3], label, 7.0, (1, 2), rgb)
            np.testing.assert_array_equal(result[..., :3], alone)
            same = np.array_equal(result[..., 3:], image[..., 3:])
            assert same != OPERATIONS[name].moves
