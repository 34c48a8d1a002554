"""Preparing a source folder with Apache Beam gives the records that the loop gives."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from archives import SIZE, expect_dummies, make_ade20k, make_source
from source_folders import make_folder, random_mask, save

from deeplab.cli import main as cli
from deeplab.data import PreparedDataset, load_dataset
from deeplab.data.prepared import prepare
from deeplab.errors import DeepLabError

DIRECT = ("--runner=DirectRunner", "--direct_num_workers=1")

# TFDS reads a field's `label`, which the protobuf that Beam wants (6) warns of and 7 does not have.
pytestmark = pytest.mark.filterwarnings(r"ignore:label\(\) is deprecated:DeprecationWarning")

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed (pip install 'deeplab[beam]')",
)


def load(
    name: str, data_dir: Path, source: Path, flags: tuple[str, ...] | None = DIRECT
) -> PreparedDataset:
    return load_dataset(name, data_dir=str(data_dir), source_dir=str(source), beam_flags=flags)


def contents(dataset: PreparedDataset) -> dict[str, list[dict[str, bytes]]]:
    return {
        split: [{k: v.numpy() for k, v in r.items()} for r in dataset.records(split)]
        for split in dataset.splits
    }


@needs_beam
def test_the_same_records_in_the_same_order(tmp_path: Path) -> None:
    sizes = {f"{split}/{n:02d}": SIZE for split, k in (("train", 23), ("val", 4)) for n in range(k)}
    source = make_folder(tmp_path / "source", sizes)
    beam = load("folder", tmp_path / "beam", source)
    loop = load("folder", tmp_path / "loop", source, flags=None)
    assert beam.splits == loop.splits == {"train": 23, "val": 4}
    assert contents(beam) == contents(loop)


@needs_beam
def test_stored_ids_become_class_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_dummies(monkeypatch, "ade20k")
    source = make_ade20k(tmp_path / "source")
    beam = load("ade20k", tmp_path / "beam", source)
    assert contents(beam) == contents(load("ade20k", tmp_path / "loop", source, flags=None))


@needs_beam
def test_a_bad_mask_stops_it_with_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make_folder(tmp_path / "source", {"train/a": SIZE, "val/b": SIZE})
    mask = save(source / "labels/val/b.png", np.full(SIZE, 7, np.uint8))
    with pytest.raises(DeepLabError, match=r"^the mask [^\n]*b\.png holds the ids 7[^\n]*$") as e:
        load("folder", tmp_path / "data", source)
    assert str(e.value).startswith(f"the mask {mask} holds") and "deeplab:" not in str(e.value)
    assert "Traceback" not in capfd.readouterr().err
    assert not (tmp_path / "data").exists()


@needs_beam
def test_masks_of_all_splits_are_judged_together(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make_folder(tmp_path / "source", {"train/a": SIZE, "val/b": SIZE}, ids=(0, 255))
    with pytest.raises(DeepLabError, match=r"^all masks in [^\n]*nothing could be learned[^\n]*$"):
        load("folder", tmp_path / "data", source)
    assert not (tmp_path / "data").exists()
    save(source / "labels/val/b.png", random_mask(*SIZE, ids=(0, 1)))
    with pytest.raises(DeepLabError, match=r"^all masks of the split 'train' in [^\n]*$"):
        load("folder", tmp_path / "data", source)
    save(source / "labels/train/a.png", random_mask(*SIZE, ids=(0, 1)))
    save(source / "labels/val/b.png", random_mask(*SIZE, ids=(0, 255)))
    capfd.readouterr()
    assert load("folder", tmp_path / "data", source).splits == {"train": 1, "val": 1}
    assert "warning: 1 of 2 masks" in capfd.readouterr().err


@needs_beam
def test_an_option_that_beam_does_not_have(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", {"train/a": SIZE, "val/b": SIZE})
    for flags in (("--runer=DirectRunner",), ("--direct_num_workers=many",)):
        with pytest.raises(DeepLabError, match=r"^Apache Beam [^\n]*(runer|many)[^\n]*$"):
            load("folder", tmp_path / "data", source, flags)
    assert not (tmp_path / "data").exists()


def prepare_command(source: Path, data_dir: Path, options: str) -> int:
    arguments = [f"--source_dir={source}", f"--data_dir={data_dir}", f"--beam_options={options}"]
    return cli.main(["dataset", "prepare", "--gin_file=dataset/folder.gin", *arguments])


@needs_beam
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_folder(tmp_path / "source", {"train/a": SIZE, "val/b": SIZE})
    assert prepare_command(source, tmp_path / "data", " ".join(DIRECT)) == 0
    assert "train: 1 images" in capsys.readouterr().out
    assert load("folder", tmp_path / "data", source, flags=None).splits == {"train": 1, "val": 1}


def test_options_that_do_nothing_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_folder(tmp_path / "source", {"train/a": SIZE, "val/b": SIZE})
    load("folder", tmp_path / "data", source, flags=None)
    assert prepare_command(source, tmp_path / "data", "--runner=DirectRunner") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "--beam_options" in line)
    assert line.startswith("folder: prepared already")


def test_the_command_without_beam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    source = make_folder(tmp_path / "source", {"train/a": SIZE, "val/b": SIZE})
    assert prepare_command(source, tmp_path / "data", "--runner=DirectRunner") == 1
    assert capsys.readouterr().err.endswith("pip install 'deeplab[beam]'\n")
    assert not (tmp_path / "data").exists()


def test_very_many_images_are_not_for_a_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "MAX_PAIRS_WITHOUT_BEAM", 2)
    sizes = {"train/a": SIZE, "train/b": SIZE, "val/c": SIZE}
    source = make_folder(tmp_path / "source", sizes)
    with pytest.raises(DeepLabError, match=r"has 3 images, and more than 2 are prepared by Apache"):
        load("folder", tmp_path / "data", source, flags=None)
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(prepare, "MAX_PAIRS_WITHOUT_BEAM", 3)
    assert load("folder", tmp_path / "data", source, flags=None).splits["train"] == 2


def test_builders_of_tfds_have_their_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, "oxford_iiit_pet")
    source = make_source(monkeypatch, "oxford_iiit_pet", tmp_path)
    assert source is not None
    with pytest.raises(DeepLabError, match="cannot be prepared with Apache Beam"):
        load("oxford_iiit_pet", tmp_path / "data", source)
    assert not (tmp_path / "data").exists()
