"""`deeplab dataset prepare`, `check` and `stats`: what they print, write and refuse."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from broken_folders import FAULTS, Expected, check, found, make_sound
from command_line import Command, Refused
from html_page import Page
from source_folders import make_folder, random_image, random_mask, save

from deeplab.data import load_dataset
from deeplab.data.files.problems import KINDS

GIN = "--gin_file=dataset/folder.gin"


def test_the_command_writes_and_prints_what_it_found(run_command: Command, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    for plant, _ in FAULTS.values():
        plant(source)
    for seed in range(60):  # more than is shown
        save(source / f"images/train/x{seed}.png", random_image(8, 8, 1000 + seed))
    output = tmp_path / "new" / "output"
    arguments = [GIN, f"--source_dir={source}", f"--data_dir={tmp_path}/data"]
    code, out, err = run_command("dataset", "check", *arguments, f"--output_dir={output}")
    assert (code, err) == (1, "")
    table = out.split("images/s\n")[-1]
    assert [line for line in table.splitlines()[:-1] if len(line) > 80] == []
    assert "error: missing_mask, 61 x " in out
    assert "and 56 more" in out and "\nnot ok: " in out
    assert sorted(path.name for path in output.iterdir()) == ["check.json", "report.html"]
    content = json.loads((output / "check.json").read_text())
    assert content["ok"] is False
    assert content["num_images"] == {"train": 24, "val": 11}
    assert list(content["class_pixels"]) == ["background", "cat", "dog"]
    assert {item["kind"] for item in content["problems"]} == set(KINDS) - {"binary_mask"}
    for item in content["problems"]:
        assert set(item) == {"kind", "file", "detail", "level"}
        assert os.path.lexists(item["file"])
    page = Page((output / "report.html").read_text())
    assert page.num_pictures == 2 * 12
    assert "and 11 more" in page.text and "check.json" in page.text
    assert not (tmp_path / "data").exists()


def test_a_repeated_check_replaces_the_results(
    run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = make_sound(tmp_path / "source")
    FAULTS["no mask"][0](source)
    own = [f"--images={source}/images", f"--labels={source}/labels"]
    own.append(f"--classes={source}/classes.json")
    assert run_command("dataset", "check", *own)[0] == 1
    save(source / "labels/train/p11.png", random_mask(24, 32))
    code, out, _ = run_command("dataset", "check", *own)
    assert code == 0 and "\nok\n" in out
    assert json.loads((tmp_path / "dataset_check/check.json").read_text())["ok"] is True
    assert len(list((tmp_path / "dataset_check").iterdir())) == 2


def test_stats_print_a_binding_of_the_training_split(run_command: Command, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    arguments = [GIN, f"--source_dir={source}", f"--output_dir={tmp_path}/weights"]
    code, out, err = run_command("dataset", "stats", *arguments)
    assert (code, err) == (0, "")
    binding = out.splitlines()[-2]
    assert re.fullmatch(r"LossConfig\.class_weights = \((\d[\d.]*, ){2}\d[\d.]*\)", binding)
    assert "split train: 26 images" in out
    assert binding in (tmp_path / "weights/class_weights.gin").read_text().splitlines()
    classes = ["background", "cat", "dog", "unicorn"]
    (source / "classes.json").write_text(json.dumps({"classes": classes}))
    assert (
        "never in this split, weight 1: unicorn" in run_command("dataset", "stats", *arguments)[1]
    )
    FAULTS["unknown ids"][0](source)
    code, out, err = run_command("dataset", "stats", *arguments)
    assert code == 1 and "p08.png holds the ids 7" in err and err.count("\n") == 1
    wrong = "--gin_bindings=DataConfig.train_split='trian'"
    FAULTS["unknown ids"][0](source)
    save(source / "labels/train/p08.png", random_mask(24, 32))
    code, out, err = run_command("dataset", "stats", *arguments, wrong)
    assert code == 1 and "did you mean 'train'? choices: train, val" in err
    shutil.copy(source / "images/train/p01.png", source / "images/val/shared.png")
    save(source / "labels/val/shared.png", random_mask(24, 32))
    assert run_command("dataset", "check", GIN, f"--source_dir={source}")[0] == 1
    assert run_command("dataset", "stats", *arguments)[0] == 0, "of one split, whatever it shares"


@pytest.mark.parametrize("layout", ["split folders", "no splits"])
def test_two_folders_are_prepared_as_a_list_that_train_takes(
    layout: str, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = {
        f"{'' if layout == 'no splits' else folder}/p{i}".lstrip("/"): (8, 9)
        for i, folder in enumerate(["train", "train", "val"])
    }
    source = make_folder(tmp_path / "source", sizes)
    (source / "images").rename(tmp_path / "photos")
    (source / "labels").rename(tmp_path / "masks")
    (tmp_path / "names.txt").write_text("background\ncat\ndog\n")
    own = ["--images=photos", "--labels=masks", "--classes=names.txt"]
    code, out, err = run_command("dataset", "prepare", *own, "--data_dir=data")
    assert (code, err) == (0, "")
    path = tmp_path / "dataset_list" / "list.jsonl"
    assert f"--source_dir={path} --data_dir={tmp_path}/data " in out
    assert sorted(item.name for item in path.parent.iterdir()) == ["classes.json", "list.jsonl"]
    prepared = sorted((tmp_path / "data/folder").iterdir())
    dataset = load_dataset("folder", data_dir=str(tmp_path / "data"), source_dir=str(path))
    assert sorted((tmp_path / "data/folder").iterdir()) == prepared  # not once more
    assert dataset.splits == {"train": 2, "val": 1}
    assert dataset.class_names == ("background", "cat", "dog")
    assert run_command("dataset", "prepare", *own, "--data_dir=data")[0] == 0  # and again


def test_what_cannot_be_prepared_leaves_no_list(run_command: Command, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    own = [f"--images={source}/images", f"--labels={source}/labels"]
    own += [f"--classes={source}/classes.json", f"--data_dir={tmp_path}/data"]
    FAULTS["unknown ids"][0](source)
    code, _, err = run_command("dataset", "prepare", *own, f"--output_dir={tmp_path}/new/list")
    assert code == 1 and "p08.png holds the ids 7" in err
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    code, _, err = run_command("dataset", "prepare", *own, f"--output_dir={source}")
    assert code == 1 and "holds other files, such as classes.json" in err


@pytest.mark.parametrize("name", ["prepare", "check", "stats"])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "missing flag --gin_file or --images"),
        (["--images=a"], "flag --images needs --labels"),
        (["--images=a", "--labels=b"], "flag --images needs --classes"),
        ([GIN, "--images=a", "--labels=b", "--classes=c"], "give only one"),
        ([GIN, "--labels=b"], "flag --labels needs --images"),
        (
            ["--images=a", "--labels=b", "--classes=c", "--source_dir=d"],
            "--source_dir does not go with --images",
        ),
    ],
)
def test_bad_command_lines(name: str, flags: list[str], message: str, refused: Refused) -> None:
    assert message in refused("dataset", name, *flags, code=2)


@pytest.mark.parametrize("name", ["prepare", "check", "stats"])
@pytest.mark.parametrize("missing", ["images", "labels", "classes"])
def test_folders_that_are_not_there(
    name: str, missing: str, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = make_sound(tmp_path / "source")
    own = {"images": source / "images", "labels": source / "labels"}
    own["classes"] = source / "classes.json"
    own[missing] = source / "nowhere"
    flags = [f"--{part}={path}" for part, path in own.items()]
    assert "nowhere" in refused("dataset", name, *flags)


@pytest.mark.parametrize("name", ["camvid", "voc46"])
def test_real_data_sets_are_right(name: str, reference_data: Path, tmp_path: Path) -> None:
    result = check(reference_data / "data" / name, tmp_path)
    assert result.ok and result.problems == ()
    sizes = {split: tally.num_images for split, tally in result.splits.items()}
    assert sizes == {"camvid": {"train": 367, "val": 101}, "voc46": {"train": 43, "val": 3}}[name]


def test_faults_in_a_copy_of_real_images(reference_data: Path, tmp_path: Path) -> None:
    """The frames of a few megabytes, with one fault of each kind."""
    camvid = reference_data / "data" / "camvid"
    source = tmp_path / "source"
    for split in ("train", "val"):
        for image in sorted((camvid / "images" / split).iterdir())[:12]:
            label = camvid / "labels" / split / f"{image.stem}.png"
            for file in (image, label):
                target = source / file.relative_to(camvid)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    shutil.copy(camvid / "classes.json", source)
    assert check(source, tmp_path).problems == ()
    images = sorted((source / "images/train").iterdir())
    labels = sorted((source / "labels/train").iterdir())
    images[0].write_bytes(images[0].read_bytes()[:9000])
    save(labels[1], random_mask(180, 240, (0, 1, 2)))
    save(labels[2], random_mask(360, 480, (0, 1, 12)))
    labels[3].unlink()
    images[4].unlink()
    shutil.copy(images[5], source / "images/val" / "copy.jpg")
    shutil.copy(labels[5], source / "labels/val" / "copy.png")
    save(labels[6], random_image(360, 480))

    def row(kind: str, path: Path) -> Expected:
        return kind, path.relative_to(source).as_posix(), True

    assert found(check(source, tmp_path), source) == sorted(
        [
            row("unreadable", images[0]),
            row("size_mismatch", labels[1]),
            row("id_out_of_range", labels[2]),
            row("missing_mask", images[3]),
            row("missing_image", labels[4]),
            row("duplicate_across_splits", source / "images/val/copy.jpg"),
            row("colour_mask", labels[6]),
        ]
    )


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that takes no files")
def test_an_output_dir_that_takes_no_files(refused: Refused, tmp_path: Path) -> None:
    flags = [GIN, f"--source_dir={make_sound(tmp_path / 'source')}"]
    assert "/sys" in refused("dataset", "check", *flags, "--output_dir=/sys")
