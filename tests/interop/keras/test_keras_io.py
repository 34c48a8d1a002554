"""The DeepLabv3+ of keras.io gives the logits that Keras gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_files import Hub, difference, images

import deeplab
from deeplab.errors import DeepLabError
from deeplab.interop import import_model
from deeplab.interop.keras.keras_io import CLASS_NAMES
from deeplab.interop.loading import Request
from deeplab.interop.sources import find
from deeplab.model_dir import read_description

NAME = "kerasio/deeplabv3p-resnet50"
TOLERANCE = 1e-4  # of the standard deviation


@pytest.fixture(scope="module")
def hub(reference_data: Path) -> Hub:
    return Hub(reference_data / "hub")


def saved_model(hub: Hub, folder: Path, **options: Any) -> Path:
    hub.writers.make_keras_variables(
        hub.json(NAME), str(folder / "variables" / "variables"), **options
    )
    return folder


def trained(hub: Hub, folder: Path) -> Path:
    return saved_model(hub, folder, training_state=True)


def h5(hub: Hub, folder: Path) -> Path:
    return Path(hub.writers.make_keras_h5(hub.json(NAME), folder / "deeplab.h5"))


# Class of a layer -> what Keras 3 calls it in a file, and its variables in their order.
KERAS_3 = {
    "Conv2D": ("conv2d", ("kernel", "bias")),
    "BatchNormalization": (
        "batch_normalization",
        ("gamma", "beta", "moving_mean", "moving_variance"),
    ),
}


def keras_3(hub: Hub, folder: Path) -> Path:
    """As Keras 3 writes them: by class and running number, without the names of layers.

    The order is that of the layers of the stored network.
    """
    import h5py

    arrays = dict(hub.values.items(hub.json(NAME)))
    counts: Counter[str] = Counter()
    with h5py.File(folder / "deeplab.weights.h5", "w") as file:
        for name, kind, _ in json.loads(Path(hub.json(NAME)).read_text())["layers"]:
            if kind not in KERAS_3:
                continue
            key, leaves = KERAS_3[kind]
            place = f"{key}_{counts[key]}" if counts[key] else key
            counts[key] += 1
            held = [arrays[f"{name}/{leaf}"] for leaf in leaves if f"{name}/{leaf}" in arrays]
            for index, value in enumerate(held):
                file[f"layers/{place}/vars/{index}"] = value
    assert counts == {"conv2d": 52, "batch_normalization": 51}
    return folder / "deeplab.weights.h5"


@pytest.mark.slow
@pytest.mark.parametrize("write", [saved_model, trained, h5, keras_3])
def test_equals_keras(hub: Hub, tmp_path: Path, write: Callable[[Hub, Path], Path]) -> None:
    golden = hub.golden(NAME)
    place = write(hub, tmp_path)
    import_model(source="keras_io", checkpoint=str(place), model_dir=tmp_path / "m")
    description = read_description(tmp_path / "m")
    assert description.class_names == CLASS_NAMES
    assert description.config.backbone_batch_norm_momentum is None
    model = deeplab.load_model(tmp_path / "m")
    cases = ("scaled_128", "scaled_256") if write is saved_model else ("scaled_128",)
    for case in cases:
        logits = model(images(golden, case)).numpy()
        assert difference(golden, case, "logits", logits, over="std") < TOLERANCE, case


@pytest.mark.slow
def test_images_of_the_later_example(hub: Hub, tmp_path: Path) -> None:
    """Fed as that one feeds them, the same weights give what they give there."""
    golden = hub.golden(NAME)
    import_model(source="keras_io", checkpoint=str(h5(hub, tmp_path)), model_dir=tmp_path / "m")
    means = np.float32([103.939, 116.779, 123.68])
    inputs = images(golden, "caffe_128")[..., ::-1] - means
    logits = deeplab.load_model(tmp_path / "m")((inputs + 1) * 127.5).numpy()
    # Larger inputs, and so larger numbers to round.
    assert difference(golden, "caffe_128", "logits", logits, over="std") < 1e-3


def test_layers_counted_from_elsewhere(hub: Hub, tmp_path: Path) -> None:
    """As of a session that had made other models before."""
    import h5py

    path = h5(hub, tmp_path)
    before = find("keras_io", Request(str(path))).stored
    expected = {
        name: before.read(name) for name in ("conv2d_8/kernel", "batch_normalization/moving_mean")
    }
    with h5py.File(path, "a") as file:
        names = [name.decode() for name in file.attrs["layer_names"]]
        # From the largest on, so that no name is taken.
        for name in sorted(
            (n for n in names if n.startswith(("conv2d", "batch_norm"))),
            key=lambda n: -int(n.rpartition("_")[2]) if n[-1].isdigit() and "_" in n else 1,
        ):
            stem, _, number = name.rpartition("_")
            counted = number.isdigit()
            base = stem if counted else name
            new = f"{base}_{(int(number) if counted else 0) + 10}"
            file.move(name, new)
            names[names.index(name)] = new
        file.attrs["layer_names"] = [name.encode() for name in names]
    found = find("keras_io", Request(str(path))).stored
    assert found.shapes == before.shapes
    for name, value in expected.items():
        np.testing.assert_array_equal(found.read(name), value)


def test_other_files(hub: Hub, tmp_path: Path) -> None:
    import h5py

    with pytest.raises(DeepLabError, match="no SavedModel"):
        find("keras_io", Request(str(tmp_path)))
    path = h5(hub, tmp_path)
    with h5py.File(path, "a") as file:
        del file["conv4_block6_2_conv"].attrs["weight_names"]
        file["conv4_block6_2_conv"].attrs["weight_names"] = [b"conv4_block6_2_conv/kernel:0"]
    model = tmp_path / "m"
    with pytest.raises(DeepLabError, match=r"conv4_block6_2_conv/bias \[256\]"):
        import_model(source="keras_io", checkpoint=str(path), model_dir=model)
    assert not model.exists()
