"""What is loaded from another model folder, and what is said of the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from model_dirs import make_model_dir

import deeplab
from deeplab.models import ModelConfig, build_model, variables_by_path
from deeplab.training.initial_weights import initialize_from, weights_digest

pytestmark = pytest.mark.usefixtures("shallow_backbone")

SMALL = {"depth_multiplier": 0.25}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    """A model folder and its model, which no test changes."""
    folder = tmp_path_factory.mktemp("other") / "source"
    return folder, make_model_dir(folder)


def loaded_parts(model: object, source: object) -> dict[str, bool]:
    """For each part, whether all of its kernels are those of the source."""
    ours, theirs = variables_by_path(model), variables_by_path(source)
    parts: dict[str, bool] = {}
    for path, variable in ours.items():
        if path.endswith("kernel"):
            same = path in theirs and np.array_equal(variable.numpy(), theirs[path].numpy())
            part = path.split("/")[0]
            parts[part] = parts.get(part, True) and same
    return parts


@pytest.mark.parametrize(
    ("changes", "fresh", "said"),
    [
        ({}, set(), None),
        (
            {"num_classes": 5},
            {"logits"},
            "logits/kernel, logits/bias, since it has 3 classes and this run 5",
        ),
        (
            {"decoder_channels": 32},
            {"decoder", "logits"},
            "decoder (",
        ),
        ({"decoder": False}, set(), None),
        ({"aspp_channels": 64}, {"aspp", "decoder"}, "aspp ("),
        ({"atrous_rates": ()}, {"aspp"}, "aspp ("),
    ],
)
def test_parts_that_fit_are_loaded(
    changes: dict[str, object], fresh: set[str], said: str | None, other: tuple[Path, object]
) -> None:
    folder, source = other
    model = build_model(ModelConfig("mobilenet_v2", **{"num_classes": 3, **SMALL, **changes}))
    start = initialize_from(model, str(folder))
    parts = loaded_parts(model, source)
    assert {part for part, same in parts.items() if not same} == fresh
    assert "which came from random initial values" in start.source
    assert ("fresh" in start.source) == bool(fresh)
    assert said is None or said in start.source
    assert len(start.source) < 600  # parts, not variables


def test_a_backbone_of_other_widths_is_refused(other: tuple[Path, object]) -> None:
    model = build_model(ModelConfig("mobilenet_v2", num_classes=3, depth_multiplier=0.5))
    with pytest.raises(deeplab.DeepLabError, match=r"another architecture: backbone/\S+ has the"):
        initialize_from(model, str(other[0]))


def test_what_an_import_left_fresh_is_not_loaded(
    other: tuple[Path, object], tmp_path: Path
) -> None:
    shutil.copytree(other[0], tmp_path / "source")
    source = other[1]
    report = {"fresh_parts": ["aspp", "decoder", "logits"]}
    (tmp_path / "source" / "import.json").write_text(json.dumps(report))
    model = build_model(ModelConfig("mobilenet_v2", num_classes=3, **SMALL))
    start = initialize_from(model, str(tmp_path / "source"))
    parts = loaded_parts(model, source)
    assert {part for part, same in parts.items() if same} == {"backbone"}
    assert "variables of backbone)" in start.source
    assert start.source.count("which did not come with it") == 3

    (tmp_path / "source" / "import.json").write_text("{}")
    start = initialize_from(model, str(tmp_path / "source"))
    assert "which did not come with it" not in start.source

    (tmp_path / "source" / "import.json").write_text("[")
    with pytest.raises(deeplab.DeepLabError, match=r"import\.json cannot be read"):
        initialize_from(model, str(tmp_path / "source"))


def test_workers_compare_what_they_would_load(other: tuple[Path, object], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(other[0], copy)
    assert weights_digest(str(copy)) == weights_digest(str(other[0]))
    # What an import left fresh is not loaded.
    (copy / "import.json").write_text(json.dumps({"fresh_parts": ["logits"]}))
    assert weights_digest(str(copy)) != weights_digest(str(other[0]))
