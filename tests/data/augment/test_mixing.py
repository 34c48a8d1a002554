"""Mixing: every pixel comes from one of two images, with its label, wherever the batch is made."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from augment_pairs import IGNORE, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.data.augment import MIXES, AugmentConfig, mixing
from deeplab.data.augment.make import Mixing
from deeplab.errors import DeepLabError

CLASSES = ("road", "car", "tree", "sky")
PASTED = ("sky", "car")
Batch = dict[str, np.ndarray]


def config_of(name: str, **values: Any) -> AugmentConfig:
    if name == "copy_paste":
        values["copy_paste_classes"] = PASTED
    return AugmentConfig(mix=name, **values)


@functools.cache
def mixer(name: str, probability: float = 1.0) -> Mixing:
    mix = mixing(
        config_of(name, mix_probability=probability),
        class_names=CLASSES,
        ignore_label=IGNORE,
        batch_size=2,
        seed=tf.constant((3, 4), tf.int64),
    )
    assert mix is not None
    return tf.function(mix, reduce_retracing=True)


def batch_of(count: int, height: int, width: int, seed: int, start: int = 0) -> Batch:
    """Every pixel's image tells element, row and column; labels are random, some ignored."""
    number, row, column = np.meshgrid(
        np.arange(start, start + count), np.arange(height), np.arange(width), indexing="ij"
    )
    rng = np.random.default_rng((seed, start))
    ids = np.array([*range(len(CLASSES)), IGNORE], np.int32)
    return {
        "image": np.stack([number, row, column], axis=-1).astype(np.float32),
        "label": rng.choice(ids, (count, height, width)),
        "id": np.array([f"image{k}".encode() for k in range(start, start + count)]),
    }


def mixed(mix: Mixing, batch: Batch, start: int = 0) -> Batch:
    positions = tf.range(start, start + len(batch["id"]), dtype=tf.int64)
    tensors = {name: tf.constant(value) for name, value in batch.items()}
    return {name: value.numpy() for name, value in mix(tensors, positions).items()}


def pasted(batch: Batch, result: Batch) -> np.ndarray:
    """Where the mate's pixels are, bool [B, H, W], after everything else has been compared."""
    assert {name: value.dtype.kind for name, value in result.items()} == {
        name: value.dtype.kind.replace("S", "O") for name, value in batch.items()
    }
    own = np.arange(len(batch["id"]))[:, None, None]
    source = result["image"][..., 0].astype(int) - int(batch["image"][0, 0, 0, 0])
    from_mate = source == own ^ 1
    assert (from_mate | (source == own)).all()
    # Nothing has moved: rows and columns are where they were, and labels came along.
    np.testing.assert_array_equal(result["image"][..., 1:], batch["image"][..., 1:])
    mate_label = batch["label"][own.ravel() ^ 1]
    np.testing.assert_array_equal(result["label"], np.where(from_mate, mate_label, batch["label"]))
    for k, name in enumerate(result["id"]):
        ids = batch["id"][[k, k ^ 1]] if from_mate[k].any() else batch["id"][[k]]
        assert name == b"+".join(ids.tolist())
    return from_mate


@pytest.mark.parametrize("name", MIXES)
@settings(max_examples=25, deadline=None)
@given(
    pairs=st.integers(1, 3),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    probability=st.sampled_from([0.5, 1.0]),
    seed=st.integers(0, 2**20),
)
def test_every_pixel_comes_from_one_of_the_two_at_its_place(
    name: str, pairs: int, height: int, width: int, probability: float, seed: int
) -> None:
    start = 2 * (seed % 1000)
    batch = batch_of(2 * pairs, height, width, seed, start)
    pasted(batch, mixed(mixer(name, probability), batch, start))


@pytest.mark.parametrize("name", MIXES)
def test_the_result_does_not_depend_on_how_the_batch_is_split(name: str) -> None:
    whole = batch_of(12, 9, 7, 0)
    expected = mixed(mixer(name, 0.7), whole)
    for size in (2, 4, 6):
        parts = [
            mixed(mixer(name, 0.7), {key: value[k : k + size] for key, value in whole.items()}, k)
            for k in range(0, 12, size)
        ]
        for key in expected:
            joined = np.concatenate([part[key] for part in parts])
            np.testing.assert_array_equal(joined, expected[key])


@pytest.mark.parametrize("name", MIXES)
def test_probability(name: str) -> None:
    batch = batch_of(40, 8, 8, 1)
    assert not pasted(batch, mixed(mixer(name, 0.0), batch)).any()
    half = pasted(batch, mixed(mixer(name, 0.5), batch)).any(axis=(1, 2)).sum()
    assert 10 <= half <= 30
    whole = pasted(batch, mixed(mixer(name, 1.0), batch)).any(axis=(1, 2)).sum()
    assert whole >= 34  # a rectangle may lie between the pixels


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 30), width=st.integers(1, 30), seed=st.integers(0, 999))
def test_cut_mix_pastes_a_rectangle(height: int, width: int, seed: int) -> None:
    batch = batch_of(2, height, width, seed, 2 * seed)
    for where in pasted(batch, mixed(mixer("cut_mix"), batch, 2 * seed)):
        rows, columns = where.any(axis=1), where.any(axis=0)
        np.testing.assert_array_equal(where, rows[:, None] & columns)
        for line in (rows, columns):
            first_and_last = np.flatnonzero(line)[[0, -1]] if line.any() else (0, -1)
            assert line.sum() == first_and_last[1] - first_and_last[0] + 1


def test_cut_mix_pastes_rectangles_of_every_size_everywhere() -> None:
    batch = batch_of(400, 16, 16, 2)
    where = pasted(batch, mixed(mixer("cut_mix"), batch))
    shares = where.mean(axis=(1, 2))
    # Uniform in 0..1 in the mean 0.5, less what lies outside of the image.
    assert 0.25 < shares.mean() < 0.45 and shares.min() < 0.02 and shares.max() > 0.75
    assert (where.mean(axis=0) > 0.1).all()


@settings(max_examples=40, deadline=None)
@given(present=st.sets(st.sampled_from([0, 1, 2, 3, IGNORE]), min_size=1), seed=st.integers(0, 999))
def test_class_mix_pastes_all_of_half_of_the_mate_s_classes(present: set[int], seed: int) -> None:
    batch = batch_of(2, 10, 10, seed, 2 * seed)
    ids = np.array(sorted(present), np.int32)
    batch["label"][1] = np.random.default_rng(seed).choice(ids, (10, 10))
    batch["label"][1].ravel()[: len(ids)] = ids
    where = pasted(batch, mixed(mixer("class_mix"), batch, 2 * seed))[0]
    chosen = set(batch["label"][1][where])
    np.testing.assert_array_equal(where, np.isin(batch["label"][1], list(chosen)))
    assert IGNORE not in chosen
    assert len(chosen) == (len(present - {IGNORE}) + 1) // 2


def test_class_mix_chooses_every_class() -> None:
    batch = batch_of(40, 10, 10, 3)
    where = pasted(batch, mixed(mixer("class_mix"), batch))
    mates = batch["label"][np.arange(40) ^ 1]
    times = [sum((where[k] & (mates[k] == c)).any() for k in range(40)) for c in range(4)]
    assert sum(times) == 80 and min(times) >= 10


def test_ids_outside_of_the_classes_are_never_pasted_by_class() -> None:
    # An ignored id among the classes, and ids of more than 255 classes.
    mix = mixing(
        config_of("class_mix", mix_probability=1.0),
        class_names=CLASSES,
        ignore_label=0,
        batch_size=2,
        seed=tf.constant((3, 4), tf.int64),
    )
    assert mix is not None
    batch = batch_of(2, 6, 6, 0)
    batch["label"][:] = np.random.default_rng(0).choice([0, 3, 65535], (2, 6, 6))
    where = pasted(batch, mixed(mix, batch))
    np.testing.assert_array_equal(where, batch["label"][[1, 0]] == 3)


def test_copy_paste_pastes_the_named_classes() -> None:
    batch = batch_of(8, 10, 10, 4)
    where = pasted(batch, mixed(mixer("copy_paste"), batch))
    mates = batch["label"][np.arange(8) ^ 1]
    np.testing.assert_array_equal(where, np.isin(mates, [CLASSES.index(name) for name in PASTED]))


@pytest.mark.parametrize("name", ["class_mix", "copy_paste"])
def test_mates_without_labels_give_nothing(name: str) -> None:
    batch = batch_of(2, 10, 10, 5)
    batch["label"][1] = IGNORE
    where = pasted(batch, mixed(mixer(name), batch))
    assert not where[0].any() and where[1].any()


@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_seeds_and_positions_decide(seed: tuple[int, int]) -> None:
    batch = batch_of(2, 16, 16, 0)
    mix = mixing(
        config_of("cut_mix", mix_probability=1.0),
        class_names=CLASSES,
        ignore_label=IGNORE,
        batch_size=2,
        seed=tf.constant(seed, tf.int64),
    )
    assert mix is not None
    results = [mixed(mix, batch, start)["image"].tobytes() for start in (0, 0, 2, 4, 6)]
    assert results[0] == results[1]
    assert len(set(results)) > 2


def test_nothing_is_mixed_by_default() -> None:
    assert (
        mixing(
            AugmentConfig(),
            class_names=CLASSES,
            ignore_label=IGNORE,
            batch_size=3,
            seed=tf.constant((3, 4), tf.int64),
        )
        is None
    )


@pytest.mark.parametrize("name", MIXES)
def test_odd_batches_are_refused(name: str) -> None:
    with pytest.raises(DeepLabError, match=f"mix '{name}' .* even number, not 3; .*BATCH"):
        mixing(
            config_of(name),
            class_names=CLASSES,
            ignore_label=IGNORE,
            batch_size=3,
            seed=tf.constant((3, 4), tf.int64),
        )


def test_classes_to_paste_must_be_those_of_the_data_set() -> None:
    with pytest.raises(DeepLabError, match="unknown class .*'cars'; did you mean 'car'"):
        mixing(
            AugmentConfig(mix="copy_paste", copy_paste_classes=("cars",)),
            class_names=CLASSES,
            ignore_label=IGNORE,
            batch_size=2,
            seed=tf.constant((3, 4), tf.int64),
        )
