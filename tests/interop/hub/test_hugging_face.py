"""Hugging Face's DeepLab of MobileNetV2 gives the logits that transformers gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hub_files import Hub, difference, images

import deeplab
from deeplab.errors import DeepLabError
from deeplab.interop.hub.hugging_face import ARCHITECTURES, FIXED
from deeplab.interop.loading import Request, load
from deeplab.interop.sources import find
from deeplab.models import build_model

pytest.importorskip("safetensors")

NAME = "hf/deeplabv3_mobilenet_v2_1.0_513"
# In units of the largest value.
TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def hub(reference_data: Path) -> Hub:
    return Hub(reference_data / "hub")


@pytest.fixture(scope="module")
def folder(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hugging_face")
    hub.writers.make_safetensors(hub.json(NAME), path / "model.safetensors")
    for file in ("config.json", "preprocessor_config.json"):
        (path / file).write_bytes((hub.folder / "hf" / file).read_bytes())
    return path


@pytest.mark.parametrize("output_stride", [pytest.param(8, marks=pytest.mark.slow), 16, 32])
def test_equals_transformers(hub: Hub, folder: Path, output_stride: int) -> None:
    golden = hub.golden(NAME)
    found = find("hugging_face", Request(str(folder)))
    model = build_model(found.config.at_output_stride(output_stride))
    report = load(model, found, source="hugging_face")
    assert not report.missing and not report.unused
    network = deeplab.intermediates(model)
    cases = [case for case in golden.cases if case.startswith(f"os{output_stride}_")]
    assert cases
    for case in cases:
        logits = network(images(golden, case))["logits_low_resolution"].numpy()
        assert difference(golden, case, "logits", logits, over="absmax") < TOLERANCE, case


def test_an_import(hub: Hub, folder: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    from deeplab.interop import import_model
    from deeplab.model_dir import read_description

    import_model(source="hugging_face", checkpoint=str(folder), model_dir=tmp_path / "m")
    description = read_description(tmp_path / "m")
    config = description.config
    assert (config.output_stride, config.resize, config.num_classes) == (8, "half_pixel", 21)
    assert description.class_names[:2] == ("background", "aeroplane")
    assert config.backbone_batch_norm_momentum is config.head_batch_norm_momentum is None
    golden = hub.golden(NAME)
    image = images(golden, "os8_129")
    model = deeplab.load_model(tmp_path / "m")
    low = deeplab.intermediates(model)(image)["logits_low_resolution"]
    # As transformers resizes: align_corners=False.
    expected = tf.image.resize(low, image.shape[1:3])
    np.testing.assert_allclose(model(image), expected, atol=1e-5)


def test_without_config(folder: Path) -> None:
    found = find("hugging_face", Request(str(folder / "model.safetensors")))
    bare = folder / "bare"
    bare.mkdir(exist_ok=True)
    (bare / "pytorch_model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    without = find("hugging_face", Request(str(bare)))
    assert without.config == found.config and without.class_names is None
    assert any("output stride 8" in line for line in without.lines)


@pytest.mark.parametrize(
    ("file", "change", "values"),
    [
        ("config.json", {"architectures": ["SegformerModel"]}, ("SegformerModel", *ARCHITECTURES)),
        *(("config.json", {field: "other"}, (field, "'other'")) for field in FIXED),
        ("config.json", {"depth_multiplier": 0.75}, ("depth_multiplier 0.75",)),
        ("preprocessor_config.json", {"rescale_factor": 1.0}, ("rescale_factor", "1.0")),
        ("preprocessor_config.json", {"image_mean": [0.4, 0.5, 0.5]}, ("image_mean", "0.4")),
    ],
)
def test_fields_that_no_network_here_has(
    folder: Path, tmp_path: Path, file: str, change: dict, values: tuple[str, ...]
) -> None:
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    for name in ("config.json", "preprocessor_config.json"):
        fields = json.loads((folder / name).read_text())
        text = json.dumps({**fields, **change} if name == file else fields)
        (tmp_path / name).write_text(text)
    with pytest.raises(DeepLabError) as caught:
        find("hugging_face", Request(str(tmp_path)))
    assert all(value in str(caught.value) for value in (str(tmp_path), *values))
