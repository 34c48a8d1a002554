"""Multiply-adds are those that were counted in the original's graphs, to the last one."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from golden import eval_copies, image_size, load_golden, model_settings

import deeplab
from deeplab.models import multiply_adds
from deeplab.models.resize import scaled_size

FAST = ("mnv2_os16_even_128x160", "mnv2_pyramid_max_os16_129", "mnv3small_os32_1025x2049")
# Its size is open, so that the original's graph has no number for it.
WITHOUT_COUNT = "mnv2_os16_dynamic_97x145"

# Billions for an image of 513 x 513 with 21 classes, by settings. Where the convolutions of the
# head are separable they are 0.2 % below tables 3 and 5 of the DeepLabv3+ paper; where they are
# dense the paper's are larger by the padding of TensorFlow 1's atrous convolutions.
DENSE = {"aspp_separable": False, "decoder_separable": False}
PAPER: list[tuple[dict[str, Any], dict[int, float]]] = [
    ({"backbone": "xception_65", **DENSE, "decoder": False}, {16: 64.92, 8: 227.04}),
    ({"backbone": "xception_65", **DENSE}, {16: 86.68, 8: 248.78}),
    ({"backbone": "xception_65"}, {16: 54.04, 8: 176.85}),
    (
        {"backbone": "resnet_101_beta", **DENSE, "decoder": False},
        {32: 51.41, 16: 76.05, 8: 252.25},
    ),
    ({"backbone": "resnet_101_beta", **DENSE}, {32: 73.17, 16: 97.81, 8: 273.99}),
]


@functools.cache
def _total(settings: str, height: int, width: int) -> int:
    config = deeplab.ModelConfig.from_dict(json.loads(settings))
    return sum(multiply_adds(config, height=height, width=width).values())


def check_count(facts: dict[str, Any], folder: Path) -> None:
    config = deeplab.ModelConfig(**model_settings(facts["flags"], folder))
    height, width = image_size(facts["flags"])
    total = 0
    for scale in eval_copies(facts["flags"]):
        size = scaled_size(height, scale), scaled_size(width, scale)
        total += _total(json.dumps(config.to_dict()), *size)
    assert total == facts["multiply_adds"]["total"], facts["name"]


@pytest.mark.parametrize("name", FAST)
def test_stored_configurations(name: str, reference_data: Path) -> None:
    golden = load_golden(reference_data, name)
    check_count(golden.facts, golden.folder)


@pytest.mark.slow
def test_all_stored_configurations(reference_data: Path) -> None:
    folder = reference_data / "golden"
    paths = [path for path in sorted(folder.glob("*.json")) if path.stem != WITHOUT_COUNT]
    assert len(paths) > 40
    for path in paths:
        check_count(json.loads(path.read_text()), folder)


@pytest.mark.slow
def test_configurations_of_the_model_zoo(reference_data: Path) -> None:
    folder = reference_data / "golden"
    lines = (folder / "multiply_adds_zoo_configs.jsonl").read_text().splitlines()
    assert len(lines) == 18
    for line in lines:
        check_count(json.loads(line), folder)


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "billions"), PAPER)
def test_configurations_of_the_paper(settings: dict[str, Any], billions: dict[int, float]) -> None:
    for output_stride, expected in billions.items():
        config = deeplab.ModelConfig(num_classes=21, output_stride=output_stride, **settings)
        total = sum(multiply_adds(config, height=513, width=513).values())
        assert round(total / 1e9, 2) == expected, output_stride


def test_parts() -> None:
    config = deeplab.ModelConfig("mobilenet_v2", num_classes=21, atrous_rates=(), decoder=False)
    counts = multiply_adds(config, height=513, width=513)
    cells = 33 * 33
    assert counts == {
        "backbone": counts["backbone"],
        "aspp": cells * (320 * 256 + 512 * 256) + 320 * 256,  # image pooling is one cell
        "logits": cells * 256 * 21,
    }
