"""Training with rounded kernels and features: where it starts, what it keeps, what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from model_dirs import make_model_dir
from replicas import mirrored
from tiny_training import CONFIG

import deeplab
from deeplab.configuration import read_configuration
from deeplab.errors import DeepLabError
from deeplab.model_dir import find_checkpoint, read_description, read_variable
from deeplab.models import build_model, variables_by_path
from deeplab.models.rounding import FeatureRange

pytestmark = pytest.mark.usefixtures("shallow_backbone")

QUANTIZATION = deeplab.QuantConfig(observe_steps=2)
MODEL = dataclasses.replace(CONFIG.model, quantization=QUANTIZATION)
QUANTIZED = dataclasses.replace(CONFIG, model=MODEL, train_batch_norm=False)
RANGES = ("minimum", "maximum", "steps")


def ranges(model_dir: Path, step: int) -> dict[str, float]:
    checkpoint = find_checkpoint(model_dir, f"{model_dir}/checkpoints/ckpt-{step}")
    paths = [f"quantization/logits/{name}" for name in RANGES]
    return {path: float(read_variable(checkpoint, "model", path)) for path in paths}


@pytest.mark.slow
def test_ranges_are_observed_kept_and_used(
    folders: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, model_dir = tmp_path / "plain", tmp_path / "quantized"
    make_model_dir(
        plain, depth_multiplier=0.35, atrous_rates=(2,), aspp_channels=16, decoder_channels=16
    )
    half = dataclasses.replace(QUANTIZED, train_steps=3)
    deeplab.train(half, model_dir=model_dir, init_from=str(plain), **folders)
    assert "fresh: quantization (" in capsys.readouterr().out
    deeplab.train(QUANTIZED, model_dir=model_dir, **folders)
    assert "resuming from step 3" in capsys.readouterr().out

    after_2, after_4 = ranges(model_dir, 2), ranges(model_dir, 4)
    assert after_2.pop("quantization/logits/steps") == 2
    assert after_4.pop("quantization/logits/steps") == 4
    assert after_2 == after_4 and after_2["quantization/logits/maximum"] > 0

    assert read_description(model_dir).config.quantization == QUANTIZATION
    loaded = deeplab.load_model(model_dir, output_stride=8)
    assert any(isinstance(layer, FeatureRange) for layer in loaded.layers)
    image = np.full((1, 40, 48, 3), 99, np.float32)
    low = deeplab.intermediates(loaded)(image)["logits_low_resolution"]
    assert len(np.unique(low)) <= 256

    other = dataclasses.replace(MODEL, quantization=deeplab.QuantConfig(observe_steps=3))
    with pytest.raises(DeepLabError, match="model.quantization.observe_steps was 2, is 3"):
        deeplab.train(dataclasses.replace(QUANTIZED, model=other), model_dir=model_dir, **folders)
    with pytest.raises(DeepLabError, match="cannot resume .*: model.quantization"):
        deeplab.train(CONFIG, model_dir=model_dir, **folders)


def test_replicas_have_one_range() -> None:
    strategy = mirrored()
    with strategy.scope():
        layer = FeatureRange(observe_steps=1, range_momentum=1.0)
        layer.build((None, 1))

    @tf.function
    def step() -> None:
        def replica() -> None:
            index = tf.distribute.get_replica_context().replica_id_in_sync_group
            layer(tf.reshape(tf.cast(index + 1, tf.float32), (1, 1)), training=True)

        strategy.run(replica)

    step()
    assert [layer.maximum.numpy(), layer.steps.numpy()] == [1.5, 1.0]


def test_gradients_pass_where_a_value_is_in_its_range() -> None:
    layer = FeatureRange(observe_steps=1, range_momentum=1.0)
    layer(tf.constant([0.0, 1.0]), training=True)
    values = tf.Variable([-0.5, 0.3, 0.7, 1.5])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(values))
    np.testing.assert_array_equal(tape.gradient(total, values), [0, 1, 1, 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "mixed_bfloat16"}, "quantization needs precision 'float32'"),
        ({"rematerialize": True}, "rematerialize does not work with quantization"),
        ({"train_steps": 2}, "observe_steps is 2, and train_steps 2 make 2 passes"),
    ],
)
def test_what_does_not_go_with_it(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeepLabError, match=message):
        dataclasses.replace(QUANTIZED, **changes)


def test_the_phase_of_the_package_switches_it_on() -> None:
    run = read_configuration(["runs/voc_2012_mobilenet_v2.gin", "phase/quantization.gin"]).train
    assert run.model.quantization == deeplab.QuantConfig() and run.train_batch_norm is False
    plain = read_configuration(["runs/voc_2012_mobilenet_v2.gin"]).train
    assert plain.model.quantization is None
    paths = variables_by_path(build_model(dataclasses.replace(CONFIG.model, num_classes=3)))
    assert not any(path.startswith("quantization") for path in paths)
