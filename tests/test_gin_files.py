"""The gin files of the package: each run can be read and obeys every macro of the contract."""

from __future__ import annotations

import functools
import operator
from pathlib import Path
from typing import Any

import pytest

import deeplab
from deeplab.cli.main import main
from deeplab.configuration import (
    CONFIGURABLES,
    MACROS,
    package_gin_folder,
    read_configuration,
    read_data_config,
)
from deeplab.data import DATASETS
from deeplab.models import BACKBONES, build_model, with_num_classes

GIN = Path(__file__).resolve().parents[1] / "gin"
RUNS = sorted(path.relative_to(GIN).as_posix() for path in (GIN / "runs").glob("*.gin"))

# macro -> where it must arrive, and two values, of which one differs from any run's
MACRO_TARGETS: dict[str, tuple[str, Any, Any]] = {
    "BACKBONE": ("model.backbone", "xception_41", "xception_71"),
    "OUTPUT_STRIDE": ("model.output_stride", 8, 32),
    "NUM_CLASSES": ("model.num_classes", None, None),
    "DATASET": ("data.dataset", "shapes", "folder"),
    "CROP_SIZE": ("data.crop_size", 97, 129),
    "GLOBAL_BATCH_SIZE": ("global_batch_size", 3, 5),
    "TRAIN_STEPS": ("train_steps", 60, 61),
    "OPTIMIZER": ("optimizer.kind", "sgd", "adamw"),
    "BASE_LEARNING_RATE": ("optimizer.base_learning_rate", 0.125, 0.25),
    "DROPOUT_RATE": ("model.dropout_rate", 0.25, 0.5),
    "CHECKPOINT_STEPS": ("checkpoint_steps", 7, 9),
    "EVAL_STEPS": ("eval_steps", 7, 0),
    "SEED": ("seed", 7, 9),
}


@functools.cache
def with_all_macros(run: str, index: int) -> deeplab.TrainConfig:
    """The configuration of a run with the first or the second value of every macro."""
    bindings = [f"{name}={values[index]!r}" for name, (_, *values) in MACRO_TARGETS.items()]
    return read_configuration([run], bindings).train


def test_the_folder_holds_gin_files_only() -> None:
    assert package_gin_folder() == GIN
    assert len(RUNS) >= 17
    assert {path.suffix for path in GIN.rglob("*") if path.is_file()} == {".gin"}


def test_every_macro_is_tested() -> None:
    assert set(MACRO_TARGETS) == set(MACROS)


def test_about_ten_names_are_configurable() -> None:
    assert len(CONFIGURABLES) <= 10


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("macro", MACROS)
def test_a_macro_reaches_what_it_names(run: str, macro: str) -> None:
    target, *values = MACRO_TARGETS[macro]
    for index, value in enumerate(values):
        assert operator.attrgetter(target)(with_all_macros(run, index)) == value


@pytest.mark.parametrize("run", RUNS)
def test_a_run_accepts_the_number_of_classes_of_its_data_set(run: str) -> None:
    names = DATASETS[read_configuration([run]).train.data.dataset].class_names
    count = 5 if names is None else len(names)
    assert read_configuration([run], [f"NUM_CLASSES={count}"]).train.model.num_classes == count


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_the_network_of_a_run_can_be_built(run: str) -> None:
    train = read_configuration([run]).train
    names = DATASETS[train.data.dataset].class_names
    config = with_num_classes(train.model, 5 if names is None else len(names), source=run)
    height, width = train.data.crop_height_width
    model = build_model(config, image_size=(height, width))
    assert model.output_shape == (None, height, width, config.num_classes)


@pytest.mark.parametrize("run", RUNS)
def test_a_run_passes_a_dry_run(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"--gin_file={run}", "--dry_run"]) == 0
    assert "TrainConfig.train_steps" in capsys.readouterr().out


@pytest.mark.parametrize("run", RUNS)
def test_the_command_of_a_run_names_its_file(run: str) -> None:
    assert f"--gin_file={run}" in (GIN / run).read_text()


def test_short_runs_set_the_batch_norm_momenta() -> None:
    runs = [read_configuration([run]).train for run in RUNS]
    short = [run.model for run in runs if run.train_steps < 20_000]
    assert len(short) >= 4
    for model in short:
        assert model.backbone_batch_norm_momentum is not None
        assert model.head_batch_norm_momentum is not None


def test_every_backbone_has_a_file_of_its_name() -> None:
    assert {path.stem for path in (GIN / "backbone").glob("*.gin")} == set(BACKBONES)
    for name in BACKBONES:
        train = read_configuration([RUNS[0], f"backbone/{name}.gin"]).train
        assert train.model.backbone == name


def test_every_data_set_has_a_file_of_its_name() -> None:
    assert {path.stem for path in (GIN / "dataset").glob("*.gin")} == set(DATASETS)
    for name in DATASETS:
        assert read_data_config([f"dataset/{name}.gin"]).dataset == name
