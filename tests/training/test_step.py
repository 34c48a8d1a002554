"""A training step: parts of a batch, clipping, averages, half precision, rematerialization."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import mirrored, one_device

import deeplab
from deeplab.models import DeepLabModel, rematerialized, scale_logits, variables_by_path
from deeplab.models.batch_norm import BatchNormSettings
from deeplab.models.layers import conv2d, conv_bn, depthwise_bn, relu
from deeplab.models.rematerialization import units_of
from deeplab.models.resize import ResizeLike
from deeplab.training.batch_norm import batch_norms, freeze
from deeplab.training.config import OptimizerConfig
from deeplab.training.losses import LossConfig, make_loss
from deeplab.training.optimization.loss_scale import LossScale
from deeplab.training.optimization.moving_average import MovingAverage
from deeplab.training.optimization.optimizers import Optimizer
from deeplab.training.step import StepResult, make_train_step

IGNORE = 255
CROSS_ENTROPY = make_loss(LossConfig(), num_classes=3, ignore_label=IGNORE)


def small_network(precision: str = "float32") -> DeepLabModel:
    """Two units of convolutions, and logits; made in a second."""
    norm = BatchNormSettings(1e-3, 0.9)
    bn = partial(conv_bn, activation=relu, norm=norm, initializer="glorot_uniform")
    depthwise = partial(depthwise_bn, activation=relu, norm=norm, initializer="glorot_uniform")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    images = keras.Input((None, None, 3), dtype="float32")
    x = keras.layers.Rescaling(2 / 255, -1.0, dtype="float32", name="normalize")(images)
    x = bn(x, 8, 3, stride=2, name="backbone.conv")
    for unit in ("unit_1", "unit_2"):
        y = depthwise(x, 3, name=f"backbone.{unit}.depthwise")
        y = bn(y, 8, 1, name=f"backbone.{unit}.pointwise")
        x = keras.layers.Add(name=f"backbone.{unit}.sum")([x, y])
    x = conv2d(x, 3, 1, use_bias=True, initializer="glorot_uniform", name="logits")
    logits = keras.layers.Activation("linear", dtype="float32", name="logits.float32")(x)
    x = ResizeLike(dtype="float32", name="logits.resize")(logits, images)
    keras.config.set_dtype_policy(before)
    config = deeplab.ModelConfig("mobilenet_v2", num_classes=3)
    endpoints = {"logits_low_resolution": logits, "logits": x}
    return DeepLabModel(images, x, model_config=config, endpoints=endpoints, name="small")


def batch() -> dict[str, np.ndarray]:
    """Four images; some have next to nothing labeled."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (4, 33, 33)).astype(np.int32)
    labels[0, 2:] = IGNORE
    labels[3, :, 20:] = IGNORE
    return {"image": random.uniform(0, 255, (4, 33, 33, 3)).astype(np.float32), "label": labels}


class Trainer:
    """A small network and its step."""

    def __init__(
        self,
        *,
        strategy: Callable[[], tf.distribute.Strategy] = one_device,
        optimizer: OptimizerConfig | None = None,
        precision: str = "float32",
        frozen: bool = False,
        synchronized: bool = True,
        rematerialize: bool = False,
        ema_decay: float = 0.0,
        loss: Callable[..., tf.Tensor] | None = None,
        **settings: Any,
    ) -> None:
        keras.utils.set_random_seed(1)
        optimizer = optimizer or OptimizerConfig("sgd", 0.01)
        self.strategy = strategy()
        with self.strategy.scope():
            self.model = small_network(precision)
            rate = tf.constant(optimizer.base_learning_rate)
            self.optimizer = Optimizer(optimizer, lambda step: rate, self.model)
            self.average = None
            if ema_decay:
                self.average = MovingAverage(ema_decay, self.model, small_network())
            self.loss_scale = LossScale() if precision == "mixed_float16" else None
        if frozen:
            freeze(batch_norms(self.model))
        for layer in batch_norms(self.model):
            layer.synchronized = synchronized
        self._step = make_train_step(
            self.model,
            self.optimizer,
            self.strategy,
            loss=loss or CROSS_ENTROPY,
            ignore_label=IGNORE,
            weight_decay=1e-3,
            forward=rematerialized(self.model) if rematerialize else None,
            loss_scale=self.loss_scale,
            average=self.average,
            **settings,
        )

    def step(self) -> StepResult:
        values = batch()
        data = tf.data.Dataset.from_tensor_slices(values).batch(4, drop_remainder=True)
        return self._step(next(iter(self.strategy.experimental_distribute_dataset(data))))

    def weights(self) -> dict[str, np.ndarray]:
        return {path: v.numpy() for path, v in variables_by_path(self.model).items()}

    def slots(self) -> dict[str, np.ndarray]:
        values = self.optimizer.variables_by_path().items()
        return {path: slot.numpy() for path, slot in values if path != "step"}


def distance(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """L2 norm of the difference of all together, relative."""
    assert found.keys() == expected.keys()
    a, b = (np.concatenate([x[k].ravel() for k in expected]) for x in (found, expected))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def frozen() -> Trainer:
    """After a step with frozen batch norm."""
    trainer = Trainer(frozen=True)
    trainer.result = trainer.step()
    return trainer


@pytest.mark.parametrize("strategy", [one_device, mirrored])
def test_parts_of_a_batch_add_up_to_the_whole(
    frozen: Trainer, strategy: Callable[[], tf.distribute.Strategy]
) -> None:
    trainer = Trainer(strategy=strategy, frozen=True, accumulation_steps=2)
    result = trainer.step()
    assert float(result.loss) == pytest.approx(float(frozen.result.loss), rel=1e-6)
    assert float(result.penalty) == pytest.approx(float(frozen.result.penalty), rel=1e-6)
    # After one step the accumulators are the gradients. The mean of the parts' means would be off
    # by tens of percents.
    assert distance(trainer.slots(), frozen.slots()) < 1e-5
    assert int(trainer.optimizer.step.numpy()) == 1


def test_nothing_labeled_in_any_part() -> None:
    def nothing(labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        return CROSS_ENTROPY(tf.fill(tf.shape(labels), IGNORE), logits, step)

    result = Trainer(frozen=True, accumulation_steps=2, loss=nothing).step()
    assert float(result.loss) == 0
    assert np.isfinite(float(result.gradient_norm))


def test_clipping(frozen: Trainer) -> None:
    rate, norm = 0.5, 0.01
    config = OptimizerConfig("sgd", rate, bias_lr_multiplier=1.0, clip_norm=norm)
    trainer = Trainer(frozen=True, optimizer=config, clip_norm=norm)
    before = trainer.weights()
    result = trainer.step()
    assert float(result.gradient_norm) == pytest.approx(
        float(frozen.result.gradient_norm), rel=1e-5
    )
    assert float(result.gradient_norm) > norm
    after = trainer.weights()
    moved = np.sqrt(sum(np.sum((after[p] - before[p]) ** 2) for p in before))
    assert moved == pytest.approx(rate * norm, rel=1e-3)
    loose = Trainer(frozen=True, clip_norm=1e6)
    loose.step()
    assert distance(loose.slots(), frozen.slots()) < 1e-6


def test_clipping_hides_no_nan() -> None:
    def broken(labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.sqrt(tf.zeros_like(logits) * logits))

    result = Trainer(frozen=True, clip_norm=1.0, loss=broken).step()
    assert float(result.loss) == 0
    assert not np.isfinite(float(result.gradient_norm))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [one_device, mirrored])
def test_moving_average(strategy: Callable[[], tf.distribute.Strategy]) -> None:
    config = OptimizerConfig("sgd", 0.1)
    trainer = Trainer(strategy=strategy, ema_decay=0.25, optimizer=config)
    assert trainer.average is not None
    trainer.average.start()
    expected = trainer.weights()
    for decay in (2 / 11, 0.25, 0.25):  # the second would be 3 / 12, the third 4 / 13
        trainer.step()
        now = trainer.weights()
        expected = {p: decay * v + (1 - decay) * now[p] for p, v in expected.items()}
    found = variables_by_path(trainer.average.model)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(found[path].numpy(), value, rtol=1e-5, atol=1e-6, err_msg=path)
    assert distance(trainer.weights(), expected) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.25, "clip_norm": 0.1, "optimizer": OptimizerConfig("adamw", 0.01)},
        {"precision": "mixed_bfloat16", "rematerialize": True},
        {"precision": "mixed_float16", "accumulation_steps": 2},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_compiled_step_equals_the_plain_one(settings: dict[str, Any]) -> None:
    plain, compiled = Trainer(**settings), Trainer(**settings, jit_compile=True)
    # Half types round where XLA fuses and where it does not.
    half = "precision" in settings
    for _ in range(2):
        expected, found = plain.step(), compiled.step()
        tolerance = 1e-2 if half else 1e-5
        assert float(found.loss) == pytest.approx(float(expected.loss), rel=tolerance)
    assert distance(compiled.weights(), plain.weights()) < (1e-2 if half else 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [one_device, mirrored])
def test_rematerialized_step_equals_the_plain_one(
    strategy: Callable[[], tf.distribute.Strategy],
) -> None:
    plain = Trainer(strategy=strategy)
    again = Trainer(strategy=strategy, rematerialize=True)
    results = [trainer.step() for trainer in (plain, again)]
    assert float(results[0].loss) == pytest.approx(float(results[1].loss), rel=1e-6)
    assert distance(again.slots(), plain.slots()) < 1e-4
    # Moving statistics too: the second computation must not move them again.
    assert distance(again.weights(), plain.weights()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        "hnasnet",
        "mobilenet_edgetpu",
        "mobilenet_v3_small",
        "pnasnet",
        "resnet_18",
        "resnet_50_keras",
        "xception_41",
        "xception_41p",
    ],
)
def test_every_kind_of_network_can_be_rematerialized(backbone: str) -> None:
    keras.utils.set_random_seed(2)
    has_decoder = bool(deeplab.BACKBONES[backbone].decoder_strides)
    model = deeplab.deeplab_v3_plus(
        backbone,
        num_classes=2,
        output_stride=8 if backbone == "hnasnet" else 16,
        decoder=has_decoder,
        dropout_rate=0.0,
    )
    units = [unit for unit in units_of(model) if len(unit.layers) > 1]
    assert len(units) > 8
    assert sum(len(unit.layers) for unit in units) > 0.75 * len(model.layers)
    images = tf.constant(batch()["image"][:1])
    name = "logits_low_resolution"
    expected = scale_logits(model)(images, training=True)[name]
    found = rematerialized(model)(images)[name]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.std(expected))


def test_image_pyramids_are_not_rematerialized() -> None:
    with pytest.raises(deeplab.DeepLabError, match="rematerialize does not work with an image_pyr"):
        deeplab.TrainConfig(
            model=deeplab.ModelConfig("mobilenet_v2", image_pyramid=(0.5, 1.0)),
            data=deeplab.DataConfig(dataset="shapes"),
            rematerialize=True,
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "step"), [("mixed_bfloat16", 2**-8), ("mixed_float16", 2**-11)]
)
def test_network_in_half_precision(precision: str, step: float) -> None:
    keras.utils.set_random_seed(0)
    config = deeplab.ModelConfig("mobilenet_v3_small", num_classes=3, depth_multiplier=0.25)
    model = deeplab.build_model(config, dtype_policy=precision)
    assert keras.config.dtype_policy().name == "float32"
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert {x.compute_dtype for x in convolutions} == {precision.removeprefix("mixed_")}
    assert {v.dtype for v in model.weights} == {"float32"}
    whole = deeplab.build_model(config)
    whole.set_weights(model.get_weights())
    images = batch()["image"]
    found, expected = model(images), whole(images)
    assert found.dtype == tf.float32
    # Each of some fifty layers rounds to a step of the type; errors of either sign cancel.
    distance = np.sqrt(np.mean((found - expected) ** 2)) / np.std(expected)
    assert 0 < distance < 4 * step


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(precision: str) -> None:
    whole, half = Trainer(), Trainer(precision=precision)
    assert {slot.dtype for slot in half.slots().values()} == {np.dtype("float32")}
    for _ in range(3):
        results = [trainer.step() for trainer in (whole, half)]
        assert float(results[1].loss) == pytest.approx(float(results[0].loss), rel=0.02)
        assert results[1].loss.dtype == tf.float32
        assert not results[1].skipped
    assert float(results[0].loss_scale) == 1
    assert float(results[1].loss_scale) == (2**15 if precision == "mixed_float16" else 1)
    norms = [float(result.gradient_norm) for result in results]
    assert norms[1] == pytest.approx(norms[0], rel=0.1)
    # In half precision a share of 0.1 of the statistics would be off by 1e-3 at once.
    moving = [
        {p: v for p, v in t.weights().items() if p.startswith("backbone/conv/") and "moving" in p}
        for t in (whole, half)
    ]
    assert distance(moving[1], moving[0]) < 5e-3


def test_gradients_too_large_for_float16_skip_the_step() -> None:
    def wild(labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        # No value, and a gradient beyond float16 at step 1 only.
        steep = tf.where(step == 1, 1e30, 0.0) * tf.reduce_sum(logits)
        usual = CROSS_ENTROPY(labels, logits, step)
        return usual + steep - tf.stop_gradient(steep)

    trainer = Trainer(precision="mixed_float16", frozen=True, loss=wild, ema_decay=0.5)
    assert not trainer.step().skipped
    weights, slots = trainer.weights(), trainer.slots()
    result = trainer.step()
    assert bool(result.skipped) and np.isfinite(float(result.loss))
    assert not np.isfinite(float(result.gradient_norm))
    assert int(trainer.optimizer.step.numpy()) == 2
    assert trainer.loss_scale is not None
    assert float(trainer.loss_scale.value) == 2**14
    for before, after in ((weights, trainer.weights()), (slots, trainer.slots())):
        for path, value in before.items():
            np.testing.assert_array_equal(after[path], value, err_msg=path)
    result = trainer.step()
    assert not result.skipped
    assert float(result.loss_scale) == 2**14
    assert distance(trainer.weights(), weights) > 0


def test_batch_norm_of_replicas_that_do_not_share_statistics() -> None:
    trainer = Trainer(strategy=mirrored, synchronized=False)
    x = batch()["image"] * (2 / 255) - 1
    kernel = trainer.weights()["backbone/conv/kernel"]
    trainer.step()
    # The stem: two replicas of two images each.
    y = tf.nn.conv2d(x, kernel, 2, "SAME").numpy()
    means = [y[part].mean((0, 1, 2)) for part in (slice(0, 2), slice(2, 4))]
    variances = [y[part].var((0, 1, 2), ddof=1) for part in (slice(0, 2), slice(2, 4))]
    after = trainer.weights()
    np.testing.assert_allclose(
        after["backbone/conv/batch_norm/moving_mean"], 0.1 * np.mean(means, 0), rtol=1e-3, atol=1e-6
    )
    found = after["backbone/conv/batch_norm/moving_variance"]
    np.testing.assert_allclose(found, 0.9 + 0.1 * np.mean(variances, 0), rtol=1e-5)
    # Together the variance would be larger by that of the means.
    together = 0.9 + 0.1 * y.var((0, 1, 2), ddof=1)
    assert np.abs(found - together).max() > 1e-6
    for variable in trainer.model.weights:
        local = trainer.strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(local[0].numpy(), local[1].numpy(), err_msg=variable.path)
