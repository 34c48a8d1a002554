"""Exports for timm: the tensors that it wants, and the same features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_files import Hub
from model_dirs import make_model_dir
from random_weights import randomize

import deeplab
from deeplab.errors import DeepLabError
from deeplab.export.hub import timm
from deeplab.export.source import open_source
from deeplab.interop import import_model
from deeplab.model_dir import read_description, save_checkpoint
from deeplab.models import ModelConfig, build_model, variables_by_path

load_file = pytest.importorskip("safetensors.numpy").load_file

# Of a backbone alone: the head is not exported.
ALONE: dict[str, Any] = {
    "num_classes": 3,
    "aspp": False,
    "image_pooling": False,
    "atrous_rates": (),
    "decoder": False,
}


@pytest.mark.parametrize(
    "name",
    [
        "xception41",
        pytest.param("xception65", marks=pytest.mark.slow),
        pytest.param("xception65p", marks=pytest.mark.slow),
    ],
)
def test_the_tensors_are_those_of_the_published_file(reference_data: Path, name: str) -> None:
    rows = json.loads(Path(Hub(reference_data / "hub").json(f"timm/{name}")).read_text())["tensors"]
    model = build_model(ModelConfig(name.replace("xception", "xception_"), **ALONE))
    classifier = {
        "classifier/logits/kernel": np.zeros((2048, 1000), np.float32),
        "classifier/logits/bias": np.zeros(1000, np.float32),
    }
    tensors = timm.tensors(model, classifier)
    found = {name: (list(value.shape), str(value.dtype)) for name, value in tensors.items()}
    wanted = {name: (shape, kind) for name, shape, kind, *_ in rows}
    assert found == wanted
    without = {name for name in wanted if not name.startswith("head.fc.")}
    assert timm.tensors(model).keys() == without


@pytest.mark.slow
def test_an_export_imported_again_is_the_same_function(tmp_path: Path) -> None:
    model = make_model_dir(
        tmp_path / "model",
        backbone="xception_41p",
        depth_multiplier=1.0,
        **ALONE,
    )
    randomize(model)
    variables = variables_by_path(model)
    save_checkpoint(tmp_path / "model" / "checkpoints", 8, {"model": variables}, keep=1)
    target = tmp_path / "export"
    result = deeplab.export(model_dir=tmp_path / "model", export_dir=target, format="timm")
    assert result.compared == "features" and result.difference < 1e-5
    assert {path.name for path in target.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    config = json.loads((target / "config.json").read_text())
    assert (config["architecture"], config["num_classes"]) == ("xception41p", 0)
    assert config["pretrained_cfg"]["crop_pct"] == 0.94
    read = deeplab.deeplab_v3_plus("xception_41p", **ALONE)
    deeplab.import_weights(read, source="timm", path=str(target))
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 80, 3)).astype(np.float32)
    networks = [deeplab.intermediates(network) for network in (model, read)]
    expected, found = (network(image)["high_level"].numpy() for network in networks)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    assert "No license is stated" in (target / "README.md").read_text()


@pytest.mark.slow
def test_a_kept_classifier_goes_along(reference_data: Path, tmp_path: Path) -> None:
    hub = Hub(reference_data / "hub")
    (tmp_path / "given").mkdir()
    hub.writers.make_safetensors(
        hub.json("timm/xception41"), tmp_path / "given" / "model.safetensors"
    )
    kept = tmp_path / "kept"
    import_model(
        source="timm", checkpoint=str(tmp_path / "given"), model_dir=kept, keep_classifier=True
    )
    deeplab.export(model_dir=kept, export_dir=tmp_path / "export", format="timm")
    given, found = (
        load_file(tmp_path / name / "model.safetensors") for name in ("given", "export")
    )
    assert given.keys() == found.keys()
    for name in given:
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(found[name], given[name], err_msg=name)
    config = json.loads((tmp_path / "export" / "config.json").read_text())
    assert config["num_classes"] == config["pretrained_cfg"]["num_classes"] == 1000
    again = tmp_path / "again"
    import_model(
        source="timm", checkpoint=str(tmp_path / "export"), model_dir=again, keep_classifier=True
    )
    assert read_description(again).classifier == read_description(kept).classifier


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"backbone": "resnet_50"}, ("backbone 'resnet_50'", "xception_41, xception_65")),
        ({"multi_grid": (1, 2, 4)}, ("multi_grid (1, 2, 4)",)),
        ({"bounded_activation": True}, ("bounded_activation True",)),
        ({"input_channels": 4}, ("input_channels 4", "3 alone")),
    ],
)
def test_backbones_that_timm_does_not_have(
    settings: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    config = ModelConfig(**{"backbone": "xception_41", "num_classes": 3, **settings})
    with pytest.raises(DeepLabError) as caught:
        timm.check(config)
    assert all(word in str(caught.value) for word in ("timm", *words))


def test_the_card_of_the_network_that_timm_changes(tmp_path: Path) -> None:
    make_model_dir(tmp_path / "model", aspp=False, atrous_rates=(), decoder=False)
    source = open_source(tmp_path / "model", "latest", None)
    assert "`output_stride=8` is another network" in timm._card(source, "xception71", 0)
    text = timm._card(source, "xception65", 1000)
    assert "another network" not in text and "num_classes=1000" in text
