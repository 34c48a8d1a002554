"""Every loss of the table: what must hold for all, whatever their settings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from replicas import mirrored

import deeplab
from deeplab.training.losses import LOSSES, LossConfig, make_loss

IGNORE = 255
SHAPE = (4, 7, 9)
CLASSES = 5
CROSS_ENTROPY = {"softmax_cross_entropy": 1.0}
WEIGHTS = (0.5, 1.0, 2.0, 0.0, 3.0)

# Each loss as it is, and every setting.
CONFIGS = {
    **{name: LossConfig(terms={name: 1.0}) for name in LOSSES},
    "class_weights": LossConfig(class_weights=WEIGHTS),
    "label_smoothing": LossConfig(label_smoothing=0.2),
    "hard_pixels": LossConfig(hard_pixel_fraction=0.1),
    "hard_pixels_weighted": LossConfig(hard_pixel_fraction=0.1, class_weights=WEIGHTS),
    "hard_pixels_ramp": LossConfig(hard_pixel_fraction=0.1, hard_pixel_ramp_steps=11),
    "boundary": LossConfig(boundary_width=1, boundary_weight=4.0),
    "focal_gamma": LossConfig(terms={"focal": 1.0}, focal_gamma=0.5, class_weights=WEIGHTS),
    "sum": LossConfig(terms={name: 0.5 for name in LOSSES}, class_weights=WEIGHTS),
}
# A boundary is where neighbors differ: pixels cannot be exchanged.
EXCHANGEABLE = {name: config for name, config in CONFIGS.items() if not config.boundary_weight}


def over(configs: Iterable[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", list(configs))


def value_and_gradient(
    config: LossConfig, labels: np.ndarray, logits: np.ndarray, step: int = 10
) -> tuple[float, np.ndarray]:
    loss = make_loss(config, num_classes=CLASSES, ignore_label=IGNORE)
    variable = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        value = loss(tf.constant(labels), variable, tf.constant(step, tf.int64))
    assert value.dtype == tf.float32
    assert value.shape == ()
    return float(value), tape.gradient(value, variable).numpy()


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, (*SHAPE, CLASSES)).astype(np.float32)


@pytest.fixture
def labels() -> np.ndarray:
    """Half of the pixels ignored; an image with one label, and one with none."""
    rng = np.random.default_rng(1)
    # Class 3 does not occur.
    labels = rng.choice([0, 1, 2, 4, *[IGNORE] * 4], SHAPE).astype(np.int32)
    labels[2:] = IGNORE
    labels[2, 3, 4] = 1
    return labels


def test_every_setting_belongs_to_a_loss_and_is_tested() -> None:
    settings = {key for name in LOSSES for key in deeplab.training.losses.table.settings_of(name)}
    fields = set(LossConfig.__dataclass_fields__) - {"terms", "upsample_logits"}
    assert settings == fields
    default = LossConfig()
    changed = {
        key
        for config in CONFIGS.values()
        for key in fields
        if getattr(config, key) != getattr(default, key)
    }
    assert changed == fields


@over(CONFIGS)
def test_ignored_pixels_do_not_count(name: str, logits: np.ndarray, labels: np.ndarray) -> None:
    value, gradient = value_and_gradient(CONFIGS[name], labels, logits)
    np.testing.assert_array_equal(gradient[labels == IGNORE], 0)
    assert np.abs(gradient).sum() > 0
    other = np.where((labels == IGNORE)[..., None], logits[..., ::-1] + 30, logits)
    assert value_and_gradient(CONFIGS[name], labels, other)[0] == pytest.approx(value, rel=1e-6)


@over(CONFIGS)
def test_a_batch_without_a_label_has_no_loss(name: str, logits: np.ndarray) -> None:
    value, gradient = value_and_gradient(CONFIGS[name], np.full(SHAPE, IGNORE, np.int32), logits)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@over(EXCHANGEABLE)
def test_order_of_the_pixels_does_not_matter(
    name: str, logits: np.ndarray, labels: np.ndarray
) -> None:
    order = np.random.default_rng(2).permutation(labels[0].size)

    def shuffled(x: np.ndarray) -> np.ndarray:
        return x.reshape(SHAPE[0], -1, *x.shape[3:])[:, order].reshape(x.shape)

    value, gradient = value_and_gradient(CONFIGS[name], labels, logits)
    other, moved = value_and_gradient(CONFIGS[name], shuffled(labels), shuffled(logits))
    assert other == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(moved, shuffled(gradient), rtol=1e-5, atol=1e-8)


@over(CONFIGS)
def test_order_of_the_images_does_not_matter(
    name: str, logits: np.ndarray, labels: np.ndarray
) -> None:
    order = [2, 0, 3, 1]
    value, gradient = value_and_gradient(CONFIGS[name], labels, logits)
    other, moved = value_and_gradient(CONFIGS[name], labels[order], logits[order])
    assert other == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(moved, gradient[order], rtol=1e-5, atol=1e-8)


@over(CONFIGS)
def test_the_gradient_is_that_of_the_loss(
    name: str, logits: np.ndarray, labels: np.ndarray
) -> None:
    _, gradient = value_and_gradient(CONFIGS[name], labels, logits)
    step = 1e-3 * gradient / np.abs(gradient).max()
    values = [
        value_and_gradient(CONFIGS[name], labels, (logits + sign * step).astype(np.float32))[0]
        for sign in (10, -10)
    ]
    assert (values[0] - values[1]) / 20 == pytest.approx((gradient * step).sum(), rel=2e-3)


@over(CONFIGS)
@pytest.mark.parametrize("right", [True, False])
def test_large_logits_are_finite(name: str, right: bool, labels: np.ndarray) -> None:
    chosen = labels if right else (labels + 1) % CLASSES
    logits = np.float32(1e4) * (np.arange(CLASSES) == chosen[..., None])
    value, gradient = value_and_gradient(CONFIGS[name], labels, logits.astype(np.float32))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    if right and not CONFIGS[name].label_smoothing:
        assert value == 0


@over(CONFIGS)
def test_a_nan_is_not_hidden(name: str, logits: np.ndarray, labels: np.ndarray) -> None:
    logits[2, 3, 4] = np.nan
    assert np.isnan(value_and_gradient(CONFIGS[name], labels, logits)[0])


@over(CONFIGS)
def test_half_precision_logits_give_a_float32_loss(
    name: str, logits: np.ndarray, labels: np.ndarray
) -> None:
    half = logits.astype(np.float16)
    value, _ = value_and_gradient(CONFIGS[name], labels, half)
    expected, _ = value_and_gradient(CONFIGS[name], labels, half.astype(np.float32))
    assert value == expected


def test_a_sum_is_the_sum(logits: np.ndarray, labels: np.ndarray) -> None:
    factors = {"softmax_cross_entropy": 1.0, "dice": 0.5, "lovasz_softmax": 2.0}
    value, gradient = value_and_gradient(LossConfig(terms=factors), labels, logits)
    parts = [value_and_gradient(CONFIGS[name], labels, logits) for name in factors]
    weights = list(factors.values())
    assert value == pytest.approx(np.dot(weights, [part[0] for part in parts]), rel=1e-6)
    expected = sum(w * part[1] for w, part in zip(weights, parts, strict=True))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)


@pytest.fixture(scope="module")
def two_replicas() -> tf.distribute.Strategy:
    return mirrored()


def on_replicas(
    strategy: tf.distribute.Strategy, config: LossConfig, labels: np.ndarray, logits: np.ndarray
) -> tuple[float, np.ndarray]:
    """As `value_and_gradient`, the images divided among the replicas."""
    loss = make_loss(config, num_classes=CLASSES, ignore_label=IGNORE)

    def replica(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            share = loss(labels, logits, tf.constant(10, tf.int64))
        return share, tape.gradient(share, logits)

    @tf.function
    def run(labels: object, logits: object) -> object:
        return strategy.run(replica, args=(labels, logits))

    def divided(x: np.ndarray) -> object:
        parts = np.split(x, strategy.num_replicas_in_sync)
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    shares, gradients = map(
        strategy.experimental_local_results, run(divided(labels), divided(logits))
    )
    return sum(map(float, shares)), np.concatenate([part.numpy() for part in gradients])


@over(CONFIGS)
def test_two_replicas_equal_one(
    name: str, two_replicas: tf.distribute.Strategy, logits: np.ndarray, labels: np.ndarray
) -> None:
    # The first replica has nearly all labels.
    assert (labels[2:] != IGNORE).sum() == 1
    value, gradient = value_and_gradient(CONFIGS[name], labels, logits)
    found, found_gradient = on_replicas(two_replicas, CONFIGS[name], labels, logits)
    assert found == pytest.approx(value, rel=1e-6)
    assert np.linalg.norm(found_gradient - gradient) <= 1e-6 * np.linalg.norm(gradient)


def test_equal_losses_on_two_replicas(two_replicas: tf.distribute.Strategy) -> None:
    config = LossConfig(hard_pixel_fraction=0.6)
    labels, logits = np.ones(SHAPE, np.int32), np.zeros((*SHAPE, CLASSES), np.float32)
    k = int(0.6 * labels.size)
    assert labels.size // 2 < k < labels.size
    value, gradient = value_and_gradient(config, labels, logits)
    taken = np.abs(gradient).sum(-1).ravel() > 0
    np.testing.assert_array_equal(taken, np.arange(labels.size) < k)
    found, found_gradient = on_replicas(two_replicas, config, labels, logits)
    assert found == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-6)


@pytest.mark.parametrize("index", range(16))
def test_the_original(index: int, reference_data: Path) -> None:
    folder = reference_data / "golden" / "extras"
    facts = json.loads((folder / "loss.json").read_text())
    assert len(facts["cases"]) == 16
    case = facts["cases"][index]
    arguments = dict(case["args"])
    with np.load(folder / "loss.npz") as arrays:
        labels = arrays["labels"][..., 0].astype(np.int32)
        scales = [tf.constant(arrays[key]) for key in ("logits", "logits2")]
    if not arguments.pop("_two", False):
        scales = scales[:1]
    if arguments.pop("_ignore_all", False):
        labels[:] = IGNORE
    ignore_label = arguments.pop("_ignore", IGNORE)
    labels[labels == IGNORE] = ignore_label
    step = arguments.pop("_step", 0)
    weights = arguments.pop("loss_weight", 1.0)
    config = LossConfig(
        upsample_logits=arguments.pop("upsample_logits", True),
        class_weights=np.broadcast_to(weights, facts["num_classes"]).tolist(),
        hard_pixel_fraction=arguments.pop("top_k_percent_pixels", 1.0),
        hard_pixel_ramp_steps=arguments.pop("hard_example_mining_step", 0),
    )
    assert not arguments
    loss = make_loss(config, num_classes=facts["num_classes"], ignore_label=ignore_label)
    with tf.GradientTape() as tape:
        tape.watch(scales)
        value = tf.add_n(
            [loss(tf.constant(labels), logits, tf.constant(step)) for logits in scales]
        )
    gradient = tape.gradient(value, scales[0]).numpy()
    assert float(value) == pytest.approx(case["loss"], rel=1e-6)
    assert np.linalg.norm(gradient) == pytest.approx(case["grad_l2"], rel=1e-6)
    # Stored of the pixel in the middle of the first image, with seven digits.
    np.testing.assert_allclose(gradient[0, 4, 4], case["grad_first"], rtol=1e-5, atol=1e-9)
