"""Whole training runs on a tiny data set: resume, replicas, bad input, what is left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from model_dirs import COLORS
from source_folders import make_folder, numbered
from tiny_training import CONFIG, MODEL
from train_steps import Step, changed_step

import deeplab
from deeplab.model_dir import find_checkpoint, list_checkpoints, read_description
from deeplab.models import variables_by_path
from deeplab.paths import for_reading

pytestmark = pytest.mark.usefixtures("shallow_backbone")


def weights(model_dir: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(for_reading(find_checkpoint(model_dir).prefix))
    names = reader.get_variable_to_shape_map()
    values = [name for name in names if name.endswith("VARIABLE_VALUE")]
    assert len(values) > 30
    return {name: reader.get_tensor(name) for name in values}


def interrupted_after(steps: int) -> contextlib.AbstractContextManager[None]:
    def change(step: Step, model: object) -> Step:
        left = iter(range(steps))

        def counted(batch: object) -> object:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return step(batch)

        return counted

    return changed_step(change)


@pytest.fixture(scope="module")
def trained(folders: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, which no test changes."""
    model_dir = tmp_path_factory.mktemp("run") / "model"
    deeplab.train(CONFIG, model_dir=model_dir, **folders)
    return model_dir


def test_resumed_run_equals_an_uninterrupted_one(
    folders: Mapping[str, str],
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = tmp_path / "parts [1] a\\*?{b}"
    with interrupted_after(3), pytest.raises(KeyboardInterrupt):
        deeplab.train(CONFIG, model_dir=parts, **folders)
    assert find_checkpoint(parts).step == 3
    deeplab.train(CONFIG, model_dir=parts, **folders)
    output = capsys.readouterr().out
    assert "resuming from step 3" in output
    for part in ("first step after ", "s: data ", "s, network ", "s, weights ", "s, tracing "):
        assert part in output

    expected, resumed = weights(trained), weights(parts)
    assert expected.keys() == resumed.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(resumed[name], value, rtol=1e-4, atol=1e-6, err_msg=name)

    deeplab.train(CONFIG, model_dir=parts, **folders)
    assert "has been trained for 4 steps: nothing to do" in capsys.readouterr().out
    history = json.loads((parts / "history.json").read_text())
    assert [row["step"] for row in history["train"]] == [1, 2, 3, 4]


@pytest.mark.slow
def test_what_a_run_leaves(folders: Mapping[str, str], tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, train_steps=5, eval_steps=2, keep_checkpoints=2)
    texts = {"config.gin": "bound", "operative_config.gin": "used"}
    deeplab.train(config, model_dir=tmp_path, recorded_files=texts, strategy="mirrored", **folders)
    assert {path.name for path in tmp_path.iterdir()} == {
        ".lock",
        "checkpoints",
        "config.gin",
        "eval",
        "history.csv",
        "history.json",
        "model.json",
        "operative_config.gin",
        "train",
    }
    assert [c.step for c in list_checkpoints(tmp_path / "checkpoints")] == [4, 5]
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index")) == [
        "ckpt-4.index",
        "ckpt-5.index",
    ]
    history = json.loads((tmp_path / "history.json").read_text())
    assert [row["step"] for row in history["eval"]] == [2, 4, 5]
    best = max(history["eval"], key=lambda row: row["miou"])["step"]
    assert find_checkpoint(tmp_path, "best").step == best
    description = read_description(tmp_path)
    assert description.class_names == ("background", "cat", "dog")
    assert description.colors == description.mask_colors == COLORS
    assert (description.ignore_label, description.mask_ignore) == (255, 7)
    assert description.config.num_classes == 3
    assert description.training["source_dir"] == folders["source_dir"]

    longer = dataclasses.replace(config, train_steps=6, eval_steps=0)
    deeplab.train(longer, model_dir=tmp_path, recorded_files={**texts, "config.gin": "new"})
    assert (tmp_path / "config.gin").read_text() == "new"
    assert (tmp_path / "config.5.gin").read_text() == "bound"

    model = deeplab.load_model(tmp_path)
    dense = deeplab.load_model(tmp_path, output_stride=8, checkpoint="best")
    assert model(np.zeros((1, 20, 30, 3), np.float32)).shape == (1, 20, 30, 3)
    assert dense.model_config.output_stride == 8


@pytest.mark.slow  # quick: a step on two replicas (test_step.py), a run on them (above)
def test_two_replicas_equal_one(folders: Mapping[str, str], tmp_path: Path) -> None:
    # Without padded regions: a network of random weights is so badly conditioned there that a
    # change of the image by 1e-6 moves gradients by percents. With seed 0 so does a unit that lies
    # on a kink of ReLU6 to rounding (1 %); with seeds 1, 2 and 3 gradients agree to 7e-5.
    config = dataclasses.replace(
        CONFIG,
        seed=1,
        model=dataclasses.replace(MODEL, dropout_rate=0.0),
        data=dataclasses.replace(CONFIG.data, min_scale=1.0),
        train_steps=1,
    )
    losses, stored = [], []
    for strategy in ("one_device", "mirrored"):
        model_dir = tmp_path / strategy
        deeplab.train(config, model_dir=model_dir, strategy=strategy, **folders)
        history = json.loads((model_dir / "history.json").read_text())
        losses.append(history["train"][0]["loss"])
        stored.append(weights(model_dir))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    one, two = stored
    assert one.keys() == two.keys()
    gradients = []
    for name, value in one.items():
        if name.startswith("model/"):
            np.testing.assert_allclose(two[name], value, rtol=0, atol=1e-5, err_msg=name)
        elif "momentum" in name:
            gradients.append((value.ravel(), two[name].ravel()))
    # After one step the accumulators are the gradients. Activations next to the kinks of ReLU6
    # move them by rounding; a wrong divisor would by a third.
    expected, found = (np.concatenate(parts) for parts in zip(*gradients, strict=True))
    assert np.linalg.norm(found - expected) < 3e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"global_batch_size": 2}, "global_batch_size was 4, is 2"),
        (
            {"model": dataclasses.replace(MODEL, backbone="xception_41", depth_multiplier=1.0)},
            "model.backbone was 'mobilenet_v2', is 'xception_41'",
        ),
        ({"optimizer": deeplab.OptimizerConfig("adamw", 0.01)}, "optimizer.kind was 'sgd'"),
        ({"loss": deeplab.LossConfig(terms={"dice": 1.0})}, "loss.terms.dice was None, is 1.0"),
    ],
)
def test_another_run_is_not_resumed(
    folders: Mapping[str, str], trained: Path, change: dict[str, object], message: str
) -> None:
    before = (trained / "model.json").read_bytes()
    with pytest.raises(deeplab.DeepLabError, match=message):
        deeplab.train(dataclasses.replace(CONFIG, **change), model_dir=trained, **folders)
    assert (trained / "model.json").read_bytes() == before


@pytest.mark.slow
def test_average_of_the_weights_is_what_is_used(
    folders: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    averaged = tmp_path / "averaged"
    config = dataclasses.replace(CONFIG, ema_decay=0.9, train_steps=2, eval_steps=2)
    deeplab.train(config, model_dir=averaged, **folders)
    assert read_description(averaged).weights_group == "ema"
    assert "learning rate 0" not in capsys.readouterr().out
    stored = weights(averaged)
    ema = {n.split("/")[1].replace(".S", "/"): v for n, v in stored.items() if n[:4] == "ema/"}
    raw = {n.split("/")[1].replace(".S", "/"): v for n, v in stored.items() if n[:6] == "model/"}
    assert ema.keys() == raw.keys()
    assert not np.array_equal(ema["logits/kernel"], raw["logits/kernel"])
    for checkpoint in ("latest", "best"):
        model = deeplab.load_model(averaged, checkpoint=checkpoint)
        for path, variable in variables_by_path(model).items():
            np.testing.assert_array_equal(variable.numpy(), ema[path], err_msg=path)

    # From here to a model of other classes.
    names = ("a", "b", "c", "d")
    source = make_folder(tmp_path / "other", numbered(4, (40, 48)), classes=names)
    folders = {"source_dir": str(source), "data_dir": folders["data_dir"]}
    still = deeplab.OptimizerConfig("adamw", 0.0, weight_decay=0.5)
    config = dataclasses.replace(CONFIG, train_steps=2, optimizer=still)
    deeplab.train(config, model_dir=tmp_path / "still", init_from=str(averaged), **folders)
    printed = capsys.readouterr().out
    assert "logits/kernel, logits/bias, since it has 3 classes and this run 4" in printed
    assert "learning rate 0: trainable weights stay as they are" in printed
    kept = {
        path: variable.numpy()
        for path, variable in variables_by_path(deeplab.load_model(tmp_path / "still")).items()
        if "moving_" not in path and not path.startswith("logits")
    }
    assert len(kept) > 30
    for path, value in kept.items():
        np.testing.assert_array_equal(value, ema[path], err_msg=path)


def test_nan_stops_with_step_and_images(folders: Mapping[str, str], tmp_path: Path) -> None:
    wild = dataclasses.replace(
        CONFIG, optimizer=deeplab.OptimizerConfig("sgd", 1e30), train_steps=9
    )
    with pytest.raises(deeplab.DeepLabError, match=r"at step \d.*images of this step: .*picture"):
        deeplab.train(wild, model_dir=tmp_path / "m", **folders)


def test_nothing_is_left_of_a_run_that_cannot_start(
    folders: Mapping[str, str], tmp_path: Path
) -> None:
    model_dir = tmp_path / "deep" / "model"
    wrong_split = dataclasses.replace(
        CONFIG, data=dataclasses.replace(CONFIG.data, train_split="trian")
    )
    with pytest.raises(deeplab.DeepLabError, match="did you mean 'train'"):
        deeplab.train(wrong_split, model_dir=model_dir, **folders)
    wrong_count = dataclasses.replace(CONFIG, model=dataclasses.replace(MODEL, num_classes=5))
    with pytest.raises(deeplab.DeepLabError, match="num_classes is 5, but .* has 3 classes"):
        deeplab.train(wrong_count, model_dir=model_dir, **folders)
    two_weights = dataclasses.replace(CONFIG, loss=deeplab.LossConfig(class_weights=(1.0, 2.0)))
    with pytest.raises(deeplab.DeepLabError, match="class_weights has 2 numbers, but there are 3"):
        deeplab.train(two_weights, model_dir=model_dir, **folders)
    parts = dataclasses.replace(CONFIG, accumulation_steps=3)
    with pytest.raises(deeplab.DeepLabError, match="is 3, which does not divide the 4 images of"):
        deeplab.train(parts, model_dir=model_dir, **folders)
    odd = dataclasses.replace(CONFIG, global_batch_size=3)
    with pytest.raises(deeplab.DeepLabError, match="not divisible by 2 replicas"):
        deeplab.train(odd, model_dir=model_dir, strategy="mirrored", **folders)
    assert not model_dir.parent.exists()


def test_imported_folder_is_not_trained_in(folders: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "import.json").write_text("{}")
    with pytest.raises(deeplab.DeepLabError, match="--init_from="):
        deeplab.train(CONFIG, model_dir=tmp_path, **folders)


def test_one_trainer_a_folder(folders: Mapping[str, str], tmp_path: Path) -> None:
    with (
        deeplab.model_dir.exclusive(tmp_path),
        pytest.raises(deeplab.DeepLabError, match="another process trains in"),
    ):
        deeplab.train(CONFIG, model_dir=tmp_path, **folders)
