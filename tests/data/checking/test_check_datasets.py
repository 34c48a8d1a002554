"""`dataset check` on every data set: the same pixels as its prepared labels have."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from archives import (
    ARCHIVES,
    EXTRA_SIZES,
    expect_dummies,
    make_ade20k,
    make_cityscapes,
    make_source,
)
from source_folders import labels_of, random_mask, save

from deeplab.cli.main import main
from deeplab.data import DATASETS, DataConfig, load_dataset
from deeplab.data.checking import check_named
from deeplab.data.files.problems import FileError, Problem
from deeplab.errors import DeepLabError

# The dummies' images are alike, and their masks not more than they have to be.
_OF_DUMMIES = {"duplicate_across_splits", "palette_mask", "single_class"}


@pytest.mark.parametrize("name", DATASETS)
def test_a_check_counts_what_is_trained_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, name)
    source = make_source(monkeypatch, name, tmp_path)
    folders = {"data_dir": str(tmp_path / "data"), "source_dir": source and str(source)}
    result = check_named(DataConfig(dataset=name), silent=True, **folders)
    assert {problem.kind for problem in result.problems} <= _OF_DUMMIES
    dataset = load_dataset(name, **folders)
    assert {split: tally.num_images for split, tally in result.splits.items()} == dataset.splits
    for split, tally in result.splits.items():
        counts = np.zeros(dataset.num_classes, np.int64)
        for label in labels_of(dataset, split).values():
            counts += np.bincount(label.ravel(), minlength=256)[: dataset.num_classes]
        assert tally.class_pixels.tolist() == counts.tolist()
    if source is not None and source.is_dir():
        shutil.rmtree(source)  # from now on the records are all that there is
        try:
            again = check_named(DataConfig(dataset=name), data_dir=folders["data_dir"], silent=True)
        except DeepLabError as error:
            assert name == "folder" and "needs --source_dir" in str(error)
        else:
            twice = [item for item in again.problems if item.kind == "duplicate_across_splits"]
            assert len(twice) == sum(
                item.kind == "duplicate_across_splits" for item in result.problems
            ), "an image that is in two lists is the same under its id"
            assert again.total.class_pixels.tolist() == result.total.class_pixels.tolist()


def test_a_published_data_set_that_is_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, "ade20k")
    source = make_ade20k(tmp_path / "source")
    masks = sorted(source.rglob("annotations/training/*.png"))
    masks[0].unlink()
    save(masks[1], random_mask(9, 9, (1, 200)))
    result = check_named(DataConfig(dataset="ade20k"), source_dir=str(source), silent=True)
    errors = {(item.kind, item.file.stem) for item in result.problems if not item.is_warning}
    assert ("missing_mask", masks[0].stem) in errors
    assert ("id_out_of_range", masks[1].stem) in errors
    assert {kind for kind, _ in errors} <= {
        "missing_mask",
        "id_out_of_range",
        "duplicate_across_splits",
    }


def test_a_published_data_set_of_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expect_dummies(monkeypatch, "ade20k", train=20210, val=2000)
    source = make_ade20k(tmp_path / "source")
    flags = ["--gin_file=dataset/ade20k.gin", f"--source_dir={source}"]
    report = tmp_path / "report"
    assert main(["dataset", "check", *flags, f"--output_dir={report}"]) == 1
    assert capsys.readouterr().err == ""
    content = json.loads((report / "check.json").read_text())
    assert content["num_images"] == {"train": 2, "val": 1} and not content["ok"]
    assert sum(content["class_pixels"].values()) > 0, "everything was read all the same"
    problems = [row for row in content["problems"] if row["level"] == "error"]
    problems = [row for row in problems if row["kind"] not in _OF_DUMMIES]
    assert [row["kind"] for row in problems] == ["missing_image"] * 2
    assert {row["file"] for row in problems} == {str(source / "ADEChallengeData2016")}
    assert problems[0]["detail"].startswith(
        "split train has 2 images, 20,210 are published; a part"
    )
    assert problems[1]["detail"].endswith(DATASETS["ade20k"].how_to_get)
    assert "20,210 are published" in (report / "report.html").read_text()
    # What trains on it stops with a line.
    for command in ("stats", "prepare"):
        assert main(["dataset", command, *flags, f"--data_dir={tmp_path}/data"]) == 1
        errors = capsys.readouterr().err
        assert "20,210" in errors and errors.count("\n") == 1
    assert not (tmp_path / "data").exists()


COARSE = [
    "--gin_file=dataset/cityscapes.gin",
    "--gin_bindings=DataConfig.train_split='train_extra'",
]


def test_a_split_of_another_builder_is_prepared_checked_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expect_dummies(monkeypatch, "cityscapes")
    source = make_cityscapes(tmp_path / "source")
    folders = [f"--source_dir={source}", f"--data_dir={tmp_path}/data"]
    report = tmp_path / "report"
    assert main(["dataset", "check", *COARSE, *folders, f"--output_dir={report}"]) == 0
    sizes = {**ARCHIVES["cityscapes"].sizes, **EXTRA_SIZES["cityscapes"]}
    assert json.loads((report / "check.json").read_text())["num_images"] == sizes
    capsys.readouterr()
    assert main(["dataset", "stats", *COARSE, f"--data_dir={tmp_path}/data"]) == 0
    assert "split train_extra: 2 images" in capsys.readouterr().out
    assert main(["dataset", "prepare", *COARSE, f"--data_dir={tmp_path}/data"]) == 0
    assert "  train_extra: 2 images" in capsys.readouterr().out
    fine = ["dataset", "prepare", COARSE[0], f"--data_dir={tmp_path}/data"]
    assert main(fine) == 0 and "train_extra" not in capsys.readouterr().out


def test_preparing_makes_a_split_of_another_builder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expect_dummies(monkeypatch, "cityscapes")
    source = make_cityscapes(tmp_path / "source")
    flags = [*COARSE, f"--source_dir={source}", f"--data_dir={tmp_path}/data"]
    assert main(["dataset", "prepare", *flags]) == 0
    assert "  train_extra: 2 images" in capsys.readouterr().out
    copies = {path.parent.name for path in (tmp_path / "data/cityscapes").glob("*/*")}
    assert {"semantic_segmentation", "semantic_segmentation_extra"} <= copies


@pytest.mark.parametrize("setting", ["train_split", "eval_split"])
def test_a_split_that_is_named_must_be_there_before_anything_is_prepared(
    setting: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--gin_file=dataset/folder.gin", f"--gin_bindings=DataConfig.{setting}='trian'"]
    flags += [f"--source_dir={source}", f"--data_dir={tmp_path}/data"]
    assert main(["dataset", "prepare", *flags]) == 1
    assert "unknown split 'trian'; did you mean 'train'" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_problem_travels_between_processes() -> None:
    problem = Problem("unreadable", Path("a.png"), "is broken")
    error = pickle.loads(pickle.dumps(FileError(problem, "cannot read a.png: broken")))
    assert (error.problem, str(error)) == (problem, "cannot read a.png: broken")
