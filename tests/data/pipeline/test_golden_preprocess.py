"""What is done to images before the network, against stored outputs of the original code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from deeplab.data.pipeline.transforms import (
    augment_pair,
    pad_pair,
    random_scale,
    resize_to_range,
    size_in_range,
)

IGNORE = 255
GRAY = (127.5, 127.5, 127.5)
# The pad values that the original's variants are stored with; see the backbones for ours.
PAD_VALUES = {
    "mobilenet_v2": GRAY,
    "resnet_v1_18": GRAY,
    "resnet_v1_50": (123.15, 115.90, 103.06),
}
# Single precision, of values up to 255.
TOLERANCE = 1e-3


class Original:
    """The stored facts, and the image and label that went in."""

    def __init__(self, folder: Path) -> None:
        self.facts: dict[str, Any] = json.loads((folder / "preprocess.json").read_text())
        with np.load(folder / "preprocess.npz") as arrays:
            self.arrays = dict(arrays)
        self.image = tf.constant(self.arrays["image"])
        self.label = tf.constant(self.arrays["label"][..., 0], tf.int32)

    def cases(self, key: str, count: int) -> list[dict[str, Any]]:
        """The cases that have a key; so many there must be."""
        found = [case for case in self.facts["preprocess"] if key in case]
        assert len(found) == count
        return found

    def check(self, name: str, image: tf.Tensor, label: tf.Tensor, stride: int = 1) -> None:
        """Compares with what is stored by that name, of the image every `stride`-th pixel."""
        np.testing.assert_array_equal(label, self.arrays[f"{name}_label"][..., 0])
        stored = self.arrays[f"{name}_image"]
        np.testing.assert_allclose(image[::stride, ::stride], stored, atol=TOLERANCE)

    def resized(self, case: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        """Image and label in the range of sizes of a case."""
        if "min_resize_value" not in case:
            return self.image, self.label
        return resize_to_range(
            self.image,
            self.label,
            min_side=case["min_resize_value"],
            max_side=case["max_resize_value"],
            multiple=case.get("resize_factor"),
        )


@pytest.fixture(scope="module")
def original(reference_data: Path) -> Original:
    return Original(reference_data / "golden" / "extras")


def test_the_sizes_of_a_range(original: Original) -> None:
    rows = original.facts["resize_to_range"]
    assert len(rows) == 49
    for row in rows:
        size = size_in_range(
            tf.constant(row["in"]), min_side=row["min"], max_side=row["max"], multiple=row["factor"]
        )
        assert size.numpy().tolist() == row["out"], row


def test_resizing_and_padding(original: Original) -> None:
    for case in original.cases("key", 5):
        image, label = original.resized(case)
        assert list(image.shape) == case["original_shape"]
        padded = pad_pair(
            tf.cast(image, tf.float32),
            label,
            (case["crop_height"], case["crop_width"]),
            pad_value=PAD_VALUES[case["variant"]],
            ignore_label=IGNORE,
        )
        original.check(case["key"], *padded)


def test_the_same_in_the_augmentation_of_training(original: Original) -> None:
    for case in original.cases("key", 5):
        augmented = augment_pair(
            *original.resized(case),
            tf.constant((1, 2), tf.int64),
            crop_size=(case["crop_height"], case["crop_width"]),
            scale_range=(1.0, 1.0),
            scale_step=0.25,
            flip_probability=0.0,
            pad_value=PAD_VALUES[case["variant"]],
            ignore_label=IGNORE,
        )
        original.check(case["key"], *augmented)


@pytest.mark.parametrize("flip", [False, True])
def test_scaling_and_flipping_in_the_augmentation_of_training(
    original: Original, flip: bool
) -> None:
    for case in original.cases("randomly_scale", 5):
        scale = case["randomly_scale"]
        image, label = augment_pair(
            original.image,
            original.label,
            tf.constant((1, 2), tf.int64),
            crop_size=tuple(case["out"][:2]),
            scale_range=(scale, scale),
            scale_step=0.25,
            flip_probability=float(flip),
            pad_value=GRAY,
            ignore_label=IGNORE,
        )
        if flip:
            image, label = image[:, ::-1], label[:, ::-1]
        original.check(f"scale{scale}", image, label, stride=3)


def test_the_factors_that_are_drawn(original: Original) -> None:
    drawn = [float(random_scale(0.5, 2.0, 0.25, (7, k))) for k in range(200)]
    stored = original.facts["random_scales_drawn_min0.5_max2_step0.25"]
    assert sorted(set(drawn)) == stored
    assert min(drawn.count(factor) for factor in stored) > 10
