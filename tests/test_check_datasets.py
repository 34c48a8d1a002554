"""`dataset check` on every data set: the same pixels as its prepared labels have."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from archives import ARCHIVES, accept_archives, expect_dummies, make_ade20k
from source_folders import random_mask, save

from deeplab.data import DATASETS, DataConfig, load_dataset
from deeplab.data.checking import check_named
from deeplab.data.records.decode import decode_label
from deeplab.data.sources.problems import FileError, Problem
from deeplab.errors import DeepLabError

# The dummies' images are alike, and their masks not more than they have to be.
_OF_DUMMIES = {"duplicate_across_splits", "palette_mask", "single_class"}


@pytest.mark.parametrize("name", DATASETS)
def test_a_check_counts_what_is_trained_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "voc_2012" and importlib.util.find_spec("scipy") is None:
        pytest.skip("its dummy has masks of SBD, which need SciPy")
    expect_dummies(monkeypatch, name)
    make = ARCHIVES[name].make
    source = None if make is None else make(tmp_path / "source")
    if name == "oxford_iiit_pet" and source is not None:
        accept_archives(monkeypatch, name, source)
    places = {"data_dir": str(tmp_path / "data"), "source_dir": source and str(source)}
    result = check_named(DataConfig(dataset=name), silent=True, **places)
    assert {problem.kind for problem in result.problems} <= _OF_DUMMIES
    dataset = load_dataset(name, **places)
    assert {split: tally.num_images for split, tally in result.splits.items()} == dataset.splits
    for split, tally in result.splits.items():
        counts = np.zeros(dataset.num_classes, np.int64)
        for record in dataset.records(split):
            label = decode_label(record["label"], dataset.label_map).numpy()
            counts += np.bincount(label.ravel(), minlength=256)[: dataset.num_classes]
        assert tally.class_pixels.tolist() == counts.tolist()
    if source is not None and source.is_dir():
        shutil.rmtree(source)  # from now on the records are all that there is
        try:
            again = check_named(DataConfig(dataset=name), data_dir=places["data_dir"], silent=True)
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


def test_a_published_data_set_with_another_number_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, "ade20k", val=999)
    source = make_ade20k(tmp_path / "source")
    config = DataConfig(dataset="ade20k")
    result = check_named(config, source_dir=str(source), silent=True)
    (problem,) = [item for item in result.problems if item.kind == "missing_image"]
    assert problem.file.parent == source and not result.ok
    assert "has 999 images in the split" in problem.detail and "found" in problem.detail
    assert result.total.num_images == sum(ARCHIVES["ade20k"].sizes.values()), "all were read"
    with pytest.raises(DeepLabError, match="has 999 images"):
        load_dataset("ade20k", data_dir=str(tmp_path / "data"), source_dir=str(source))


def test_a_problem_travels_between_processes() -> None:
    problem = Problem("unreadable", Path("a.png"), "is broken")
    error = pickle.loads(pickle.dumps(FileError(problem, "cannot read a.png: broken")))
    assert (error.problem, str(error)) == (problem, "cannot read a.png: broken")
