"""Training gives the numbers of the original code: losses, gradients, learning rates.

Every stored number comes with what it moved by when all images were multiplied by 1 + 1e-6. Batch
norm nearly undoes such a change, so the noise of rounding is also measured here, by changing each
pixel by about 3e-7 of its value on its own. Steps after the first are chaotic.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from golden import model_settings, weight_rule

import deeplab
from deeplab.interop.tf1.names import original_names
from deeplab.models import DeepLabModel, variables_by_path
from deeplab.training.batch_norm import batch_norms, freeze
from deeplab.training.config import OptimizerConfig, ScheduleConfig
from deeplab.training.losses import LossConfig, make_loss
from deeplab.training.optimization.optimizers import Optimizer, loss_weight_decay
from deeplab.training.optimization.schedules import Schedule, make_schedule
from deeplab.training.step import StepResult, make_train_step

IGNORE = 255


def schedule_of(arguments: dict[str, Any]) -> Schedule:
    """Our schedule for the arguments of the original's get_model_learning_rate."""
    kind = arguments["learning_policy"]
    settings: dict[str, Any] = {
        "warmup_steps": arguments["slow_start_step"],
        "warmup_start_learning_rate": arguments["slow_start_learning_rate"],
        "warmup_kind": arguments.get("slow_start_burnin_type", "constant"),
    }
    if kind == "step":
        settings["decay_steps"] = arguments["learning_rate_decay_step"]
        settings["decay_factor"] = arguments["learning_rate_decay_factor"]
    elif "decay_steps" in arguments:
        settings["decay_steps"] = int(arguments["decay_steps"])
    if kind == "poly":
        settings["power"] = arguments["learning_power"]
        settings["end_learning_rate"] = arguments.get("end_learning_rate", 0.0)
    return make_schedule(
        ScheduleConfig(kind, **settings),
        base_learning_rate=arguments["base_learning_rate"],
        train_steps=arguments["training_number_of_steps"],
    )


def test_learning_rates(reference_data: Path) -> None:
    cases = json.loads((reference_data / "golden/extras/learning_rate.json").read_text())
    assert len(cases) == 7
    for case in cases:
        schedule = schedule_of(case["args"])
        for step, expected in case["step_lr"]:
            found = float(schedule(tf.constant(step, tf.int64)))
            assert found == pytest.approx(expected, rel=1e-7, abs=0), (case["args"], step)


def original_model(facts: dict[str, Any], rule: ModuleType, folder: Path) -> DeepLabModel:
    """Our model of a stored run, with its first weights."""
    flags = [
        *facts["flags"],
        f"--output_stride={facts['output_stride']}",
        f"--num_classes={facts['num_classes']}",
        *(f"--atrous_rates={rate}" for rate in facts["atrous_rates"] or ()),
    ]
    model = deeplab.deeplab_v3_plus(**model_settings(flags, folder), dropout_rate=0.0)
    names = original_names(model)
    for path, variable in variables_by_path(model).items():
        variable.assign(rule.value(names[path], variable.shape))
    return model


def original_batch(rule: ModuleType) -> dict[str, tf.Tensor]:
    labels = []
    for index in range(4):
        image = rule.image(65, 65, 100 + index)
        label = image[..., 0].astype(np.int32) * 21 // 256
        label[image[..., 1] > 200] = IGNORE
        labels.append(label)
    images = np.stack([rule.image(65, 65, index) for index in range(4)]).astype(np.float32)
    return {"image": tf.constant(images), "label": tf.constant(np.stack(labels))}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mnv2_dec4", marks=pytest.mark.slow),
        "mnv2_frozenbn",
        pytest.param("r50beta", marks=pytest.mark.slow),
        pytest.param("xc41", marks=pytest.mark.slow),
    ],
)
def test_first_steps(name: str, reference_data: Path) -> None:
    folder = reference_data / "golden"
    facts = json.loads((folder / "extras" / f"train_{name}.json").read_text())
    rule = weight_rule(folder)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    config = OptimizerConfig(
        "sgd",
        momentum=facts["momentum"],
        weight_decay=facts["weight_decay"],
        last_layer_lr_multiplier=facts["last_layer_gradient_multiplier"],
    )
    schedule = schedule_of(facts["learning_rate_args"])
    with strategy.scope():
        model = original_model(facts, rule, folder)
        moves = tf.Variable(0.0)
        optimizer = Optimizer(config, lambda step: moves * schedule(step), model)
    if not facts["fine_tune_batch_norm"]:
        freeze(batch_norms(model))
    step = make_train_step(
        model,
        optimizer,
        strategy,
        loss=make_loss(
            LossConfig(hard_pixel_fraction=facts["top_k_percent_pixels"]),
            num_classes=model.model_config.num_classes,
            ignore_label=IGNORE,
        ),
        ignore_label=IGNORE,
        weight_decay=loss_weight_decay(config),
    )
    batch = original_batch(rule)
    slots = optimizer.variables_by_path()

    def first_step(images: tf.Tensor) -> tuple[StepResult, dict[str, np.ndarray]]:
        """Numbers and gradients of the first step, which the accumulators are after it."""
        for slot in slots.values():
            slot.assign(tf.zeros_like(slot))
        result = step({**batch, "image": images})
        return result, {path: slot.numpy() for path, slot in slots.items() if path != "step"}

    before = {path: variable.numpy() for path, variable in variables_by_path(model).items()}
    result, gradients = first_step(batch["image"])
    loss_noise, norm_noise, first_noise = 0.0, Counter[str](), Counter[str]()
    for seed in range(4):
        noise = np.random.default_rng(seed).standard_normal(batch["image"].shape)
        other, others = first_step(batch["image"] * (1.0 + 3e-7 * noise).astype(np.float32))
        loss_noise = max(loss_noise, abs(float(other.loss - result.loss)))
        for path, gradient in others.items():
            expected = gradients[path]
            moved = abs(float(np.linalg.norm(gradient) - np.linalg.norm(expected)))
            norm_noise[path] = max(norm_noise[path], moved)
            moved = float(np.abs(gradient - expected).ravel()[:4].max())
            first_noise[path] = max(first_noise[path], moved)
    for path, value in before.items():
        if "moving_" not in path:
            np.testing.assert_array_equal(variables_by_path(model)[path].numpy(), value)

    moves.assign(1.0)
    first_step(batch["image"])
    second = step(batch)
    for found, stored in zip((result, second), facts["steps"][:2], strict=True):
        tolerance = 10 * stored["noise_1e-6"] + 3 * loss_noise
        assert tolerance < 2e-3
        assert float(found.loss) == pytest.approx(stored["cross_entropy"], abs=tolerance)
        assert float(found.penalty) == pytest.approx(stored["regularization"], rel=1e-6)
        # A step without its update would leave the loss where it was.
    moved = facts["steps"][0]["cross_entropy"] - facts["steps"][1]["cross_entropy"]
    assert tolerance < 0.2 * moved
    assert float(second.learning_rate) == pytest.approx(facts["steps"][1]["lr"], rel=1e-6)

    names = original_names(model)
    relative = []
    stored_variables = {row["name"]: row for row in facts["variables_after_3_steps"]}
    # The gradient of a beta in front of another batch norm is 0, and all that is found is rounding.
    rounding = 1e-7 * max(row.get("grad0_l2", 0.0) for row in stored_variables.values())
    for path, gradient in gradients.items():
        row = stored_variables.pop(names[path.removesuffix("/momentum")])
        norm, stored = row["grad0_l2"], 10 * row["grad0_noise"] + rounding
        tolerance = stored + 3 * norm_noise[path]
        relative.append(tolerance / norm)
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=1e-4, abs=tolerance), path
        first = gradient.ravel()[:4]
        tolerance = stored + 3 * first_noise[path]
        np.testing.assert_allclose(first, row["grad0_first"], 1e-4, tolerance, err_msg=path)
    assert np.median(relative) < 0.05
    assert all("moving_" in name for name in stored_variables)

    # Three steps move the last layer by what its learning rate allows: that of the schedule times 2
    # for biases, times the multiplier of the last layers.
    step(batch)
    changes = {row["name"]: row for row in facts["variables_after_3_steps"]}
    for path in ("logits/kernel", "logits/bias"):
        row = changes[names[path]]
        change = np.linalg.norm(variables_by_path(model)[path].numpy() - before[path])
        tolerance = 10 * row["change_noise"]
        assert tolerance < 0.05 * row["change_l2"]
        assert change == pytest.approx(row["change_l2"], rel=1e-3, abs=tolerance), path
