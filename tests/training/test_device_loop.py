"""Several steps in one call are the same steps."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import one_device

import deeplab
from deeplab.models import DeepLabModel, ModelConfig
from deeplab.training.config import OptimizerConfig
from deeplab.training.device_loop import make_step_loop, steps_per_loop, steps_to_next_stop
from deeplab.training.distribution.strategies import make_strategy
from deeplab.training.losses import LossConfig, make_loss
from deeplab.training.optimization.optimizers import Optimizer
from deeplab.training.step import make_train_step

STEPS = 5


def strategy(replicas: int) -> tf.distribute.Strategy:
    return one_device() if replicas == 1 else make_strategy("mirrored")[0]


def batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
    def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
        seed = tf.stack([step, 7])
        return {
            "image": tf.random.stateless_uniform([2, 9, 9, 3], seed, 0.0, 255.0),
            "label": tf.random.stateless_uniform([2, 9, 9], seed, 0, 3, tf.int32),
            "id": tf.strings.join([["a", "b"], tf.strings.as_string(tf.stack([step, step]))]),
        }

    return tf.data.Dataset.range(100).map(batch)


def run(replicas: int, lengths: list[int]) -> tuple[list[np.ndarray], np.ndarray, list[bytes]]:
    """Losses, the weights at the end, and the names, after calls of these numbers of steps."""
    keras.utils.set_random_seed(0)
    devices = strategy(replicas)
    with devices.scope():
        inputs = keras.Input((9, 9, 3))
        x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs / 255.0)
        logits = keras.layers.Conv2D(3, 1, name="logits")(x)
        model = DeepLabModel(
            inputs,
            logits,
            model_config=ModelConfig("mobilenet_v2", num_classes=3),
            endpoints={"logits_low_resolution": logits},
            name="small",
        )
        optimizer = Optimizer(OptimizerConfig("sgd", 0.1), lambda step: 0.1, model)
    step = make_train_step(
        model,
        optimizer,
        devices,
        loss=make_loss(LossConfig(), num_classes=3, ignore_label=255),
        ignore_label=255,
        weight_decay=1e-4,
    )
    iterator = iter(devices.distribute_datasets_from_function(batches))
    losses: list[float] = []
    names: list[bytes] = []
    if not lengths:
        for batch in itertools.islice(iterator, STEPS):
            losses.append(float(step({k: v for k, v in batch.items() if k != "id"}).loss))
            for local in devices.experimental_local_results(batch["id"]):
                names += local.numpy().tolist()
    loop = make_step_loop(step, devices)
    for length in lengths:
        result, ids = loop(iterator, length)
        losses += result.loss.numpy().tolist()
        names += ids.numpy().ravel().tolist()
    assert int(optimizer.step.numpy()) == STEPS
    return losses, np.concatenate([w.numpy().ravel() for w in model.weights]), names


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("lengths", [[STEPS], [2, 3]])
def test_steps_in_one_call_equal_single_calls_to_the_bit(replicas: int, lengths: list[int]) -> None:
    losses, weights, names = run(replicas, [])
    looped_losses, looped_weights, looped_names = run(replicas, lengths)
    assert looped_losses == losses
    assert len(set(losses)) == STEPS
    np.testing.assert_array_equal(looped_weights, weights)
    assert looped_names == names and len(set(names)) == 2 * STEPS * replicas


CONFIG = deeplab.TrainConfig(
    deeplab.ModelConfig("mobilenet_v2"), deeplab.DataConfig("shapes"), train_steps=25
)


def test_a_call_ends_where_something_has_to_be_done() -> None:
    config = deeplab.TrainConfig(
        CONFIG.model, CONFIG.data, train_steps=25, checkpoint_steps=10, eval_steps=4
    )
    stops, step = [], 0
    while step < config.train_steps:
        step += steps_to_next_stop(step, config)
        stops.append(step)
    assert stops == [4, 8, 10, 12, 16, 20, 24, 25]


def test_one_step_a_call_unless_told_otherwise() -> None:
    assert steps_per_loop(CONFIG, strategy(1)) == 1
    wanted = deeplab.TrainConfig(CONFIG.model, CONFIG.data, steps_per_loop=7)
    assert steps_per_loop(wanted, strategy(1)) == 7
    with pytest.raises(deeplab.DeepLabError, match="steps_per_loop must be at least 1"):
        deeplab.TrainConfig(CONFIG.model, CONFIG.data, steps_per_loop=0)


def test_a_crop_smaller_than_the_output_stride_is_refused() -> None:
    with pytest.raises(deeplab.DeepLabError, match="crop_size 15 is smaller than the output stri"):
        deeplab.TrainConfig(CONFIG.model, deeplab.DataConfig("shapes", crop_size=15))
