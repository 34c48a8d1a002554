"""Networks of keras.applications give the features that Keras gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from random_weights import randomize

import deeplab
from deeplab.errors import DeepLabError
from deeplab.interop.keras.applications import REFUSED
from deeplab.interop.loading import Request, load
from deeplab.interop.sources import find
from deeplab.models import build_model

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

apps = keras.applications
PREPROCESS = {
    "mobilenet_v2": apps.mobilenet_v2.preprocess_input,
    "resnet_50_keras": apps.resnet.preprocess_input,
    "resnet_101_keras": apps.resnet.preprocess_input,
}
NETWORKS = [
    ("mobilenet_v2", apps.MobileNetV2, {"alpha": 1.4, "include_top": False}, "block_16_project_BN"),
    ("mobilenet_v2", apps.MobileNetV2, {"alpha": 0.35, "classes": 7}, "block_16_project_BN"),
    pytest.param(
        *("resnet_50_keras", apps.ResNet50, {"classes": 7}, "conv5_block3_out"),
        marks=pytest.mark.slow,
    ),
    pytest.param(
        *("resnet_101_keras", apps.ResNet101, {"include_top": False}, "conv5_block3_out"),
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["new.weights.h5", "old.h5", "unnamed.weights.h5"])
@pytest.mark.parametrize(("backbone", "builder", "arguments", "last"), NETWORKS)
def test_equals_keras(
    tmp_path: Path, backbone: str, builder: object, arguments: dict, last: str, file: str
) -> None:
    model = builder(weights=None, input_shape=(64, 97, 3), **arguments)
    randomize(model)
    path = tmp_path / file
    model.save(path) if file == "old.h5" else model.save_weights(path)
    if file.startswith("unnamed"):
        without_names(path)
    found = find("keras_applications", Request(str(path), output_stride=32))
    assert found.config.backbone == backbone
    assert (found.classifier is None) == ("include_top" in arguments)
    ours = build_model(dataclasses.replace(found.config, num_classes=2))
    report = load(ours, found, source="keras_applications")
    assert report.unused == {} and report.fresh_parts == ("aspp", "decoder", "logits")
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 97, 3)).astype(np.float32)
    features = keras.Model(model.input, model.get_layer(last).output)
    expected = features(PREPROCESS[backbone](image.copy())).numpy()
    high_level = deeplab.intermediates(ours)(image)["high_level"].numpy()
    assert np.abs(high_level - expected).max() < 2e-6 * np.abs(expected).max()


def without_names(path: Path) -> None:
    """As earlier versions of Keras 3 wrote them."""
    import h5py

    with h5py.File(path, "a") as file:
        for layer in file["layers"].values():
            layer["vars"].attrs.pop("name", None)


@pytest.mark.parametrize("layer", REFUSED)
def test_networks_that_are_none_of_ours(tmp_path: Path, layer: str) -> None:
    import h5py

    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [layer]
        group = file.create_group(layer)
        group.attrs["weight_names"] = [f"{layer}/kernel:0"]
        group.create_dataset(f"{layer}/kernel:0", data=np.zeros(1, np.float32))
    with pytest.raises(DeepLabError) as caught:
        find("keras_applications", Request(str(tmp_path / "w.h5")))
    assert REFUSED[layer] in str(caught.value) and "w.h5" in str(caught.value)


def test_other_files(tmp_path: Path) -> None:
    import h5py

    (tmp_path / "broken.h5").write_bytes(b"no HDF5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    for name in ("broken.h5", "empty.h5", "missing.h5", "weights.ckpt", "."):
        with pytest.raises(DeepLabError) as caught:
            find("keras_applications", Request(str(tmp_path / name)))
        assert str(tmp_path / name).rstrip("/.") in str(caught.value)
