"""timm's Xceptions give the features that timm gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hub_files import Hub, difference, images

import deeplab
from deeplab.errors import DeepLabError
from deeplab.interop.hub.timm import ARCHITECTURES
from deeplab.interop.loading import Request
from deeplab.interop.sources import find

save_file = pytest.importorskip("safetensors.numpy").save_file

# In units of the largest value: what an independent pass in TensorFlow was measured at, times 7.
TOLERANCE = 2e-5
NAMES = ("xception41", "xception65", "xception65p")


@pytest.fixture(scope="module")
def hub(reference_data: Path) -> Hub:
    return Hub(reference_data / "hub")


@pytest.fixture(scope="module")
def file_of(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def write(name: str) -> Path:
        path = tmp_path_factory.getbasetemp() / f"{name}.safetensors"
        if not path.exists():
            hub.writers.make_safetensors(hub.json(f"timm/{name}"), path)
        return path

    return write


@pytest.mark.slow
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", NAMES)
def test_equals_timm(
    hub: Hub, file_of: Callable[[str], Path], name: str, output_stride: int
) -> None:
    golden = hub.golden(f"timm/{name}")
    architecture = ARCHITECTURES[name]
    model = deeplab.deeplab_v3_plus(
        architecture.backbone, num_classes=2, output_stride=output_stride
    )
    report = deeplab.import_weights(model, source="timm", path=str(file_of(name)))
    assert (report.unused, report.fresh_parts) == ({}, ("aspp", "decoder", "logits"))
    assert len(report.loaded) + len(report.ignored) == len(golden.data["tensors"])
    # timm taps what decoders of DeepLab read before its ReLU.
    tap, last = "feature1_linear", "feature4"
    if architecture.pre_activation:
        tap, last = "feature1", "features"
    network = deeplab.intermediates(model)
    cases = [case for case in golden.cases if case.startswith(f"os{output_stride}_")]
    cases = [case for case in cases if not case.endswith("_identity")]
    assert cases
    for case in cases:
        outputs = network(images(golden, case))
        for ours, theirs in (("low_level", tap), ("high_level", last)):
            found = difference(golden, case, theirs, outputs[ours].numpy(), over="absmax")
            assert found < TOLERANCE, (case, theirs)


def tiny(tmp_path: Path, architecture: str, config: dict | None = None) -> Path:
    """Tensors by which an architecture is recognized, of no use otherwise."""
    row = ARCHITECTURES[architecture]
    names = [f"blocks.{index}.norm.weight" for index in range(row.blocks)]
    names += ["stem.1.weight" if row.pre_activation else "stem.1.conv.weight"]
    save_file({name: np.zeros(1, np.float32) for name in names}, tmp_path / "model.safetensors")
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_are_recognized(tmp_path: Path, name: str) -> None:
    config = {"architecture": name, "pretrained_cfg": {"license": "apache-2.0"}}
    for folder in (tiny(tmp_path, name), tiny(tmp_path, name, config)):
        found = find("timm", Request(str(folder)))
        assert found.config.backbone == ARCHITECTURES[name].backbone
        assert found.config.output_stride == 16 and found.config.num_classes is None
        assert found.config.backbone_batch_norm_momentum is None
    assert any("apache-2.0" in line for line in found.lines)


@pytest.mark.parametrize(
    ("config", "values"),
    [
        ({"architecture": "resnet50"}, ("'resnet50'", "xception41, xception65, xception71")),
        ({"architecture": "xception41"}, ("'xception41'", "xception65")),
        (
            {"architecture": "xception65", "pretrained_cfg": {"mean": [0.485, 0.456, 0.406]}},
            ("mean", "0.485"),
        ),
    ],
)
def test_configurations_of_other_networks(
    tmp_path: Path, config: dict, values: tuple[str, ...]
) -> None:
    with pytest.raises(DeepLabError) as caught:
        find("timm", Request(str(tiny(tmp_path, "xception65", config))))
    assert all(value in str(caught.value) for value in (str(tmp_path), *values))


def test_foreign_tensors_and_models(tmp_path: Path) -> None:
    with pytest.raises(DeepLabError, match="not a resnet_50"):
        model = deeplab.ModelConfig("resnet_50", num_classes=2)
        find("timm", Request(str(tiny(tmp_path, "xception65")), model))
    save_file({"conv1.weight": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(DeepLabError, match="conv1.weight"):
        find("timm", Request(str(tmp_path)))


@pytest.mark.slow
def test_what_is_missing_is_listed(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    hub.writers.make_safetensors(
        hub.json("timm/xception41"),
        path,
        drop=("blocks.0.shortcut.conv", "stem.1.bn.running_mean"),
        rename=lambda name: f"module.{name}",
        dtype="bfloat16",
    )
    model = deeplab.deeplab_v3_plus("xception_41", num_classes=2)
    before = model.get_weights()
    with pytest.raises(DeepLabError) as caught:
        deeplab.import_weights(model, source="timm", path=str(path))
    for value in (
        str(path),
        "2 missing",
        "stem.1.bn.running_mean [64]",
        "blocks.0.shortcut.conv.weight [1, 1, 64, 128]",
    ):
        assert value in str(caught.value)
    assert all(map(np.array_equal, before, model.get_weights()))
