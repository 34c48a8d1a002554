"""Exports for transformers: the tensors and fields that it wants, and the same function."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_files import Hub
from model_dirs import make_model_dir
from random_weights import randomize

import deeplab
from deeplab.errors import DeepLabError
from deeplab.export.hub import hugging_face
from deeplab.interop.loading import Request, load
from deeplab.interop.sources import find
from deeplab.model_dir import save_checkpoint
from deeplab.models import DeepLabModel, ModelConfig, build_model, variables_by_path

load_file = pytest.importorskip("safetensors.numpy").load_file

NAME = "hf/deeplabv3_mobilenet_v2_1.0_513"
FILES = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}
# A network that transformers has.
HEAD: dict[str, Any] = {"decoder": False, "atrous_rates": ()}
NARROW: dict[str, Any] = {"depth_multiplier": 0.25, "backbone_options": {"divisible_by": 8}}
VARIANCE = "aspp/image_pooling/batch_norm/moving_variance"


def make(folder: Path, **settings: Any) -> DeepLabModel:
    """A model folder with statistics of batch norm that tell the epsilons apart."""
    model = make_model_dir(folder, **{**HEAD, **NARROW, "resize": "half_pixel", **settings})
    randomize(model)
    variables = variables_by_path(model)
    variables[VARIANCE].assign(np.full(256, 1e-6, np.float32))
    save_checkpoint(folder / "checkpoints", 8, {"model": variables}, keep=1)
    return model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "model"
    make(folder)
    return folder


@pytest.fixture(scope="module")
def export_dir(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("export") / "network"
    result = deeplab.export(
        model_dir=model_dir, export_dir=target, format="hugging_face", output_stride=8
    )
    assert result.difference < 1e-5 and result.changed_pixels == 0
    return target


def test_the_tensors_are_those_of_the_published_file(reference_data: Path) -> None:
    rows = json.loads(Path(Hub(reference_data / "hub").json(NAME)).read_text())["tensors"]
    model = build_model(ModelConfig("mobilenet_v2", num_classes=21, **HEAD))
    tensors = hugging_face.tensors(model)
    found = {name: (list(value.shape), str(value.dtype)) for name, value in tensors.items()}
    assert found == {name: (shape, kind) for name, shape, kind, *_ in rows}


@pytest.mark.slow
def test_the_fields_are_those_of_the_published_file(reference_data: Path, tmp_path: Path) -> None:
    folder = reference_data / "hub" / "hf"
    published = json.loads((folder / "config.json").read_text())
    make(
        tmp_path / "model",
        depth_multiplier=1.0,
        backbone_options={},
        class_names=tuple(published["label2id"]),
        output_stride=8,
        dropout_rate=0.8,
    )
    deeplab.export(
        model_dir=tmp_path / "model", export_dir=tmp_path / "export", format="hugging_face"
    )
    found = json.loads((tmp_path / "export" / "config.json").read_text())
    versions = (found.pop("transformers_version"), published.pop("transformers_version"))
    assert versions[1].startswith(versions[0])
    assert found == published
    preprocessing = json.loads((folder / "preprocessor_config.json").read_text())
    found = json.loads((tmp_path / "export" / "preprocessor_config.json").read_text())
    same = {"do_normalize", "do_rescale", "image_mean", "image_std", "image_processor_type"}
    assert {name: found[name] for name in same} == {name: preprocessing[name] for name in same}
    assert not found["do_resize"] and not found["do_center_crop"]


@pytest.mark.slow
def test_an_export_imported_again_is_the_same_function(model_dir: Path, export_dir: Path) -> None:
    assert {path.name for path in export_dir.iterdir()} == FILES
    found = find("hugging_face", Request(str(export_dir)))
    assert found.config.output_stride == 8
    assert found.class_names == ("background", "cat", "dog")
    read = build_model(found.config)
    report = load(read, found, source="hugging_face")
    assert not report.missing and not report.unused
    image = np.random.default_rng(0).integers(0, 256, (1, 65, 80, 3)).astype(np.float32)
    expected = deeplab.load_model(model_dir, output_stride=8)(image).numpy()
    np.testing.assert_allclose(read(image), expected, atol=1e-6 * np.abs(expected).max())


def test_all_files_may_be_read_by_the_same_people(export_dir: Path) -> None:
    assert len({path.stat().st_mode for path in export_dir.iterdir()}) == 1


def test_the_smaller_epsilon_of_the_head_is_in_the_variances(export_dir: Path) -> None:
    tensors = load_file(export_dir / "model.safetensors")
    stored = tensors["segmentation_head.conv_pool.normalization.running_var"]
    # 1e-6 + 1.001e-5 = stored + 1e-5
    np.testing.assert_allclose(stored, 1.01e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"backbone": "mobilenet_v3_small"}, ("backbone", "'mobilenet_v3_small'")),
        ({"input_channels": 4}, ("input_channels 4",)),
        ({"decoder": None}, ("decoder True",)),
        ({"atrous_rates": None}, ("atrous_rates (6, 12, 18)",)),
        ({"aspp": False}, ("aspp False",)),
        ({"aspp_channels": 128}, ("aspp_channels 128", "256")),
        ({"aspp_projection": False}, ("aspp_projection False",)),
        ({"image_pooling": False}, ("image_pooling False",)),
        ({"image_pooling_crop_size": (513, 513)}, ("image_pooling_crop_size (513, 513)",)),
        ({"image_pooling_gate": "sigmoid"}, ("image_pooling_gate 'sigmoid'",)),
        ({"image_pyramid": (0.5, 1.0)}, ("image_pyramid (0.5, 1.0)",)),
        ({"bounded_activation": True}, ("bounded_activation True",)),
        ({"backbone_options": {}}, ("depth_multiplier 0.25", "divisible_by 1")),
        ({"depth_multiplier": 0.2}, ("depth_multiplier 0.2", "16 channels")),
    ],
)
def test_networks_that_transformers_does_not_have(
    settings: dict[str, Any], words: tuple[str, ...]
) -> None:
    given = {"backbone": "mobilenet_v2", "num_classes": 3, **HEAD, **NARROW, **settings}
    if not given["backbone"].endswith("v2"):
        del given["backbone_options"]
    with pytest.raises(DeepLabError) as caught:
        hugging_face.check(ModelConfig(**given))
    assert all(word in str(caught.value) for word in ("transformers", *words))


def test_a_refused_network_leaves_nothing(
    tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    make(tmp_path / "model", decoder=None)
    code, output, errors = run_command(
        *("export", "--model_dir", tmp_path / "model", "--export_dir", tmp_path / "a" / "b"),
        *("--format=saved_model", "--format=hugging_face"),
    )
    assert (code, output) == (1, "")
    assert errors.count("\n") == 1 and "decoder True" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_aligned_corners_are_warned_of(
    tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    make(tmp_path / "model", resize="align_corners")
    code, output, errors = run_command(
        *("export", "--model_dir", tmp_path / "model", "--export_dir", tmp_path / "export"),
        "--format=hugging_face",
    )
    assert code == 0 and "logits differ by" in output
    assert errors.count("\n") == 1 and errors.startswith("warning: ") and "half-pixel" in errors
    assert "half-pixel" in (tmp_path / "export" / "README.md").read_text()


def test_an_export_that_differs_is_refused(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = hugging_face.tensors

    def wrong(model: DeepLabModel) -> dict[str, np.ndarray]:
        name = "segmentation_head.classifier.convolution.weight"
        values = tensors(model)
        return {**values, name: np.ascontiguousarray(values[name][:, ::-1])}

    monkeypatch.setattr(hugging_face, "tensors", wrong)
    with pytest.raises(DeepLabError, match="not the Keras model, nothing was exported"):
        deeplab.export(model_dir=model_dir, export_dir=tmp_path / "x", format="hugging_face")
    assert not list(tmp_path.iterdir())


def test_the_card(export_dir: Path) -> None:
    text = (export_dir / "README.md").read_text()
    block = text.split("---\n")[1]
    assert "library_name: transformers" in block and "license:" not in block
    for words in ("ckpt-8", "background, cat, dog", "No license is stated", "conv_1x1"):
        assert words in text
    assert "half-pixel" not in text
