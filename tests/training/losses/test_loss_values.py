"""Losses against values computed by hand or from their definition, and settings that are wrong."""

from __future__ import annotations

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.models import scale_logits
from deeplab.training.losses import LossConfig, l2_penalty, make_loss
from deeplab.training.losses.boundary import near_boundary
from deeplab.training.optimization.optimizers import Optimizer
from deeplab.training.run_settings import check_resumable
from deeplab.training.step import make_train_step

IGNORE = 255
# Logits of two classes whose second has this probability.
LOGIT = {p: math.log(p / (1 - p)) for p in (0.1, 0.2, 0.25, 0.4, 0.5, 0.8, 0.9)}


def value(
    labels: list[int], probabilities: list[float], step: int = 0, **settings: object
) -> float:
    """The loss of one row of pixels, of which the probability of class 1 is known."""
    loss = make_loss(LossConfig(**settings), num_classes=2, ignore_label=IGNORE)
    logits = [[[[0.0, LOGIT[p]] for p in probabilities]]]
    return float(loss(tf.constant([[labels]]), tf.constant(logits), tf.constant(step)))


def test_cross_entropy_by_hand() -> None:
    expected = -(math.log(0.8) + math.log(0.6)) / 2
    assert value([1, 0, IGNORE], [0.8, 0.4, 0.1]) == pytest.approx(expected)


def test_class_weights_by_hand() -> None:
    # The divisor is the number of pixels, not the sum of their weights.
    expected = -(3 * math.log(0.8) + 0.5 * math.log(0.6)) / 2
    weights = (0.5, 3.0)
    found = value([1, 0, IGNORE], [0.8, 0.4, 0.1], class_weights=weights)
    assert found == pytest.approx(expected)


def test_label_smoothing_by_hand() -> None:
    # Target 0.9 and 0.1.
    expected = -(0.9 * math.log(0.8) + 0.1 * math.log(0.2))
    assert value([1, IGNORE], [0.8, 0.1], label_smoothing=0.2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fraction", "ramp_steps", "step", "hardest"),
    [
        (0.5, 0, 0, 3),
        (0.5, 100, 0, 4),
        (0.5, 100, 50, 4),
        (0.5, 100, 99, 3),
        (0.5, 100, 1000, 3),
        (0.34, 0, 7, 2),
        (0.1, 0, 0, 0),
    ],
)
def test_hard_pixels_by_hand(fraction: float, ramp_steps: int, step: int, hardest: int) -> None:
    # Six pixels, two of them ignored: k of all six count, zeros not in the divisor.
    losses = sorted((-math.log(p) for p in (0.8, 0.1, 0.5, 0.6)), reverse=True)[:hardest]
    found = value(
        [1, IGNORE, 1, 1, IGNORE, 0],
        [0.8, 0.1, 0.1, 0.5, 0.9, 0.4],
        step=step,
        hard_pixel_fraction=fraction,
        hard_pixel_ramp_steps=ramp_steps,
    )
    assert found == pytest.approx(sum(losses) / max(len(losses), 1))


@pytest.mark.parametrize(("gamma", "used"), [(None, 2.0), (0, 0.0), (0.5, 0.5)])
def test_focal_by_hand(gamma: float | None, used: float) -> None:
    found = value([1, 0, IGNORE], [0.25, 0.2, 0.1], terms={"focal": 1.0}, focal_gamma=gamma)
    expected = -(0.75**used * math.log(0.25) + 0.2**used * math.log(0.8)) / 2
    assert found == pytest.approx(expected)


def test_dice_by_hand() -> None:
    # Class 1: overlap 0.8, squares 0.64 + 0.16, one pixel. Class 0: 0.6, 0.04 + 0.36, one pixel.
    expected = ((1 - 2 * 0.8 / (0.8 + 1)) + (1 - 2 * 0.6 / (0.4 + 1))) / 2
    assert value([1, 0, IGNORE], [0.8, 0.4, 0.1], terms={"dice": 1.0}) == pytest.approx(expected)
    # Class 0 does not occur.
    assert value([1, IGNORE], [0.8, 0.1], terms={"dice": 1.0}) == pytest.approx(1 - 1.6 / 1.64)


def test_lovasz_softmax_by_hand() -> None:
    # Class 1: first the error 0.4 of the other pixel, which takes the IoU to 1/2, then 0.2, to 0.
    # Class 0: the error 0.4 of its only pixel takes the IoU to 0.
    expected = ((0.4 * 0.5 + 0.2 * 0.5) + 0.4) / 2
    found = value([1, 0, IGNORE], [0.8, 0.4, 0.1], terms={"lovasz_softmax": 1.0})
    assert found == pytest.approx(expected)


def test_lovasz_softmax_is_the_extension_of_one_minus_iou() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3, 4, 5, 4)).astype(np.float32)
    labels = rng.choice([0, 1, 3, IGNORE], (3, 4, 5)).astype(np.int32)
    labels[1] = IGNORE
    loss = make_loss(LossConfig(terms={"lovasz_softmax": 1.0}), num_classes=4, ignore_label=IGNORE)
    probabilities = tf.nn.softmax(logits).numpy()
    images = []
    for image in (0, 2):
        pixels = np.flatnonzero(labels[image].ravel() != IGNORE)
        classes = []
        for label in np.unique(labels[image].ravel()[pixels]):
            members = {pixel for pixel in pixels if labels[image].ravel()[pixel] == label}
            p = probabilities[image, ..., label].ravel()
            error = {pixel: 1 - p[pixel] if pixel in members else p[pixel] for pixel in pixels}
            wrong: set[int] = set()
            extension, before = 0.0, 0.0
            for pixel in sorted(pixels, key=lambda pixel: -error[pixel]):
                wrong.add(pixel)
                one_minus_iou = len(wrong) / len(members | wrong)
                extension += error[pixel] * (one_minus_iou - before)
                before = one_minus_iou
            classes.append(extension)
        images.append(np.mean(classes))
    found = float(loss(tf.constant(labels), tf.constant(logits), tf.constant(0)))
    assert found == pytest.approx(np.mean(images), rel=1e-6)


def test_boundary_weights_by_hand() -> None:
    # The change lies between pixels 2 and 3; a boundary is seen across the ignored pixel 5.
    labels, probabilities = [0, 0, 0, 1, 1, IGNORE, 0], [0.2, 0.4, 0.5, 0.8, 0.9, 0.5, 0.1]
    settings = {"boundary_width": 1, "boundary_weight": 2.0}
    losses = -np.log([0.8, 0.6, 0.5, 0.8, 0.9, 0.9])
    found = value(labels, probabilities, **settings)
    assert found == pytest.approx((losses * [1, 1, 3, 3, 1, 1]).mean())
    found = value(labels, probabilities, **{**settings, "boundary_width": 2})
    assert found == pytest.approx((losses * [1, 3, 3, 3, 3, 3]).mean())
    focal = value(labels, probabilities, **settings, terms={"focal": 1.0}, focal_gamma=0)
    assert focal == pytest.approx((losses * [1, 1, 3, 3, 1, 1]).mean())


@pytest.mark.parametrize("width", [1, 2, 4])
def test_near_boundary_is_a_distance(width: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.kron(rng.choice([0, 1, 7, IGNORE], (2, 5, 4)), np.ones((1, 3, 5), int))
    valid = labels != IGNORE
    near = near_boundary(
        tf.constant(np.where(valid, labels, 0), tf.int32), tf.constant(valid), width
    )
    for image, row, column in np.argwhere(valid):
        window = (
            image,
            slice(max(row - width, 0), row + width + 1),
            slice(max(column - width, 0), column + width + 1),
        )
        others = labels[window][valid[window]] != labels[image, row, column]
        assert bool(near[image, row, column]) == others.any()


def test_labels_are_resized_to_the_logits() -> None:
    loss = make_loss(LossConfig(upsample_logits=False), num_classes=2, ignore_label=IGNORE)
    labels = np.full((1, 5, 7), IGNORE, np.int32)
    # Of 5 x 7 pixels, 3 x 3 keep those of rows 0, 2, 4 and columns 0, 3, 6.
    labels[0, 2, 3] = 1
    labels[0, 1, 1] = 0
    logits = tf.constant(np.zeros((1, 3, 3, 2)), tf.float32)
    assert float(loss(tf.constant(labels), logits, tf.constant(0))) == pytest.approx(math.log(2))


@pytest.mark.parametrize("upsample_logits", [True, False])
def test_half_pixels_by_the_operations_of_tensorflow_2(upsample_logits: bool) -> None:
    rng = np.random.default_rng(0)
    labels = tf.constant(rng.choice([0, 1, 2, IGNORE], (2, 32, 21)), tf.int32)
    logits = tf.constant(rng.normal(size=(2, 8, 6, 3)), tf.float32)
    config = LossConfig(upsample_logits=upsample_logits)
    loss = make_loss(config, num_classes=3, ignore_label=IGNORE, resize="half_pixel")

    def by_hand(logits: tf.Tensor) -> tf.Tensor:
        found = labels
        if upsample_logits:
            logits = tf.image.resize(logits, (32, 21), "bilinear")
        else:
            found = tf.image.resize(labels[..., tf.newaxis], (8, 6), "nearest")[..., 0]
        valid = found != IGNORE
        return tf.reduce_mean(
            tf.keras.losses.sparse_categorical_crossentropy(
                found[valid], tf.boolean_mask(logits, valid), from_logits=True
            )
        )

    gradients = []
    for function in (lambda x: loss(labels, x, tf.constant(0)), by_hand):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = function(logits)
        gradients.append((value, tape.gradient(value, logits)))
    (value, gradient), (expected, expected_gradient) = gradients
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-7)


@pytest.mark.slow
def test_the_step_sums_over_the_scales_of_a_pyramid() -> None:
    model = deeplab.deeplab_v3_plus(
        "mobilenet_v2",
        num_classes=3,
        depth_multiplier=0.35,
        atrous_rates=(2,),
        aspp_channels=8,
        decoder_channels=8,
        dropout_rate=0.0,
        image_pyramid=(0.5, 1.0),
    )
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, 255, (2, 33, 33, 3)), tf.float32)
    labels = tf.constant(rng.choice([0, 1, 2, IGNORE], (2, 33, 33)), tf.int32)
    outputs = deeplab.intermediates(model)(images, training=True)
    scales = scale_logits(model)(images, training=True)
    names = ("scale_logits_0.50", "scale_logits_1.00", "logits_low_resolution")
    assert sorted(scales) == sorted(names)
    cross_entropy = tf.keras.losses.sparse_categorical_crossentropy
    expected = 0.0
    for name in names:
        logits = tf.compat.v1.image.resize_bilinear(outputs[name], (33, 33), align_corners=True)
        valid = labels != IGNORE
        expected += tf.reduce_mean(
            cross_entropy(labels[valid], tf.boolean_mask(logits, valid), from_logits=True)
        )
    strategy = tf.distribute.get_strategy()
    still = Optimizer(deeplab.OptimizerConfig("sgd", 0.0), lambda step: tf.constant(0.0), model)
    # At step 0 of a ramp every pixel counts.
    config = LossConfig(hard_pixel_fraction=0.1, hard_pixel_ramp_steps=10)
    loss = make_loss(config, num_classes=3, ignore_label=IGNORE)
    step = make_train_step(model, still, strategy, loss=loss, ignore_label=IGNORE, weight_decay=0.0)
    result = step({"image": images, "label": labels})
    assert float(result.loss) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"terms": "dice"}, "terms must be names of losses with factors"),
        ({"terms": {}}, "terms must be names of losses with factors"),
        ({"terms": {"dise": 1.0}}, "unknown loss 'dise'; did you mean 'dice'"),
        ({"terms": {"dice": 0}}, "the factor of dice must be above 0, not 0"),
        ({"terms": {"dice": True}}, "the factor of dice must be a number, not True"),
        ({"terms": {3: 1.0}}, "unknown loss 3"),
        ({"upsample_logits": 1}, "upsample_logits must be True or False"),
        ({"class_weights": 2.0}, "class_weights must be a list of numbers, one per class, not 2.0"),
        ({"class_weights": (1, -1)}, r"class_weights\[1\] must be at least 0, not -1"),
        ({"class_weights": (math.nan, 1)}, r"class_weights\[0\] must be a number, not nan"),
        ({"class_weights": (math.inf, 1)}, r"class_weights\[0\] must be a number, not inf"),
        ({"class_weights": ("1", 1)}, r"class_weights\[0\] must be a number, not '1'"),
        ({"class_weights": (0, 0.0)}, "class_weights must not all be 0"),
        ({"class_weights": ()}, "class_weights must not all be 0"),
        ({"label_smoothing": 1.0}, "label_smoothing must be below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing must be at least 0"),
        ({"hard_pixel_fraction": 0}, "hard_pixel_fraction must be above 0"),
        ({"hard_pixel_fraction": 25}, "hard_pixel_fraction must be at most 1, not 25"),
        ({"hard_pixel_ramp_steps": 100}, "hard_pixel_ramp_steps = 100 has no effect while"),
        ({"hard_pixel_fraction": 0.5, "hard_pixel_ramp_steps": 0.5}, "must be a whole number"),
        ({"boundary_width": 3}, "no effect without each other: they are 3 and 0.0"),
        ({"boundary_weight": 3.0}, "no effect without each other: they are 0 and 3.0"),
        ({"boundary_width": 1.5, "boundary_weight": 1}, "boundary_width must be a whole number"),
        ({"terms": {"focal": 1}, "focal_gamma": -1}, "focal_gamma must be at least 0"),
        (
            {"focal_gamma": 2.0},
            "focal_gamma is 2.0, .* it is for 'focal', not for 'softmax_cross_entropy'",
        ),
        (
            {"terms": {"dice": 1, "lovasz_softmax": 1}, "class_weights": (1, 1)},
            "for 'softmax_cross_entropy' and 'focal', not for 'dice' and 'lovasz_softmax'",
        ),
        ({"terms": {"focal": 1}, "label_smoothing": 0.1}, "label_smoothing is 0.1, .* no effect"),
        ({"terms": {"dice": 1}, "hard_pixel_fraction": 0.5}, "hard_pixel_fraction is 0.5, .* no"),
        (
            {"terms": {"dice": 1}, "boundary_width": 2, "boundary_weight": 1.0},
            "has no effect: .* not for 'dice'",
        ),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(deeplab.DeepLabError, match=message) as caught:
        LossConfig(**settings)
    assert "\n" not in str(caught.value)


def test_class_weights_are_one_a_class() -> None:
    config = LossConfig(class_weights=(1.0, 2.0))
    with pytest.raises(deeplab.DeepLabError, match="class_weights has 2 numbers, but there are 3"):
        make_loss(config, num_classes=3, ignore_label=IGNORE)


def test_a_resumed_run_has_the_loss_it_had() -> None:
    def saved(loss: LossConfig) -> dict[str, object]:
        return {"loss": dataclasses.asdict(loss)}

    loss = LossConfig(terms={"softmax_cross_entropy": 1, "dice": 0.5}, class_weights=[1, 2])
    stored = json.loads(json.dumps(saved(loss)))
    assert LossConfig(**stored["loss"]) == loss
    assert check_resumable(stored, saved(loss), model_dir="m") == []
    other = dataclasses.replace(loss, terms={"softmax_cross_entropy": 1, "focal": 2})
    with pytest.raises(deeplab.DeepLabError) as caught:
        check_resumable(stored, saved(other), model_dir="m")
    for part in ("loss.terms.dice was 0.5, is None", "loss.terms.focal was None, is 2.0"):
        assert part in str(caught.value)


def test_l2_penalty() -> None:
    variables = [keras.Variable([1.0, 2.0]), keras.Variable([[3.0]])]
    assert l2_penalty(variables).numpy() == pytest.approx((1 + 4 + 9) / 2)
