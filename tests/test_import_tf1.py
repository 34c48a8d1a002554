"""Names of the original's checkpoints, and what happens when a checkpoint does not fit."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.interop.tf1 import original_names
from deeplab.models import variables_by_path


@pytest.fixture(scope="module")
def model() -> deeplab.models.DeepLabModel:
    return deeplab.deeplab_v3_plus("mobilenet_v2", num_classes=3, depth_multiplier=0.35)


def write(path: Path, values: dict[str, np.ndarray]) -> str:
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=list(values.values()),
    )
    return str(path)


def original_values(model: deeplab.models.DeepLabModel) -> dict[str, np.ndarray]:
    variables = variables_by_path(model)
    return {
        name: np.full(variables[path].shape, index % 7, np.float32)
        for index, (path, name) in enumerate(original_names(model).items())
    }


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("backbone/conv/kernel", "MobilenetV2/Conv/weights"),
        (
            "backbone/expanded_conv_3/depthwise/kernel",
            "MobilenetV2/expanded_conv_3/depthwise/depthwise_weights",
        ),
        ("aspp/image_pooling/batch_norm/beta", "image_pooling/BatchNorm/beta"),
        ("aspp/conv1/depthwise/kernel", "aspp1_depthwise/depthwise_weights"),
        ("aspp/projection/kernel", "concat_projection/weights"),
        ("decoder/conv0/pointwise/kernel", "decoder/decoder_conv0_pointwise/weights"),
        ("logits/bias", "logits/semantic/biases"),
    ],
)
def test_names(model: deeplab.models.DeepLabModel, path: str, name: str) -> None:
    assert original_names(model)[path] == name


def test_loads_and_reports(model: deeplab.models.DeepLabModel, tmp_path: Path) -> None:
    values = original_values(model)
    extra = {
        "global_step": np.int64(7),
        "logits/semantic/biases/Momentum": np.zeros(3, np.float32),
    }
    prefix = write(tmp_path / "model.ckpt", {**values, **extra})
    report = deeplab.import_weights(model, source="tf1", path=prefix)
    assert report.loaded.keys() == values.keys()
    assert report.ignored.keys() == extra.keys()
    assert not report.missing and not report.unused
    names = original_names(model)
    for path, variable in variables_by_path(model).items():
        np.testing.assert_array_equal(variable, values[names[path]])


def test_nothing_is_loaded_when_something_does_not_fit(
    model: deeplab.models.DeepLabModel, tmp_path: Path
) -> None:
    before = model.get_weights()
    values = original_values(model)
    wrong = {
        "missing": {k: v for k, v in values.items() if k != "aspp0/weights"},
        "unused": {**values, "aspp7/weights": np.zeros((1, 1), np.float32)},
        "shape": {**values, "logits/semantic/biases": np.zeros(21, np.float32)},
    }
    messages = {
        "missing": "1 missing variables, the first is aspp0/weights",
        "unused": "1 unused variables, the first is aspp7/weights",
        "shape": r"logits/semantic/biases has the shape \[21\], the model needs \[3\]",
    }
    for kind, content in wrong.items():
        prefix = write(tmp_path / kind, content)
        with pytest.raises(deeplab.DeepLabError, match=messages[kind]):
            deeplab.import_weights(model, source="tf1", path=prefix)
    for ours, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_no_checkpoint(model: deeplab.models.DeepLabModel, tmp_path: Path) -> None:
    with pytest.raises(deeplab.DeepLabError, match="no readable TensorFlow checkpoint"):
        deeplab.import_weights(model, source="tf1", path=str(tmp_path / "nothing"))
    with pytest.raises(deeplab.DeepLabError, match="unknown source 'tf2'"):
        deeplab.import_weights(model, source="tf2", path="x")
