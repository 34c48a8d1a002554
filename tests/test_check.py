"""`dataset check` and `dataset stats`: every planted fault is found, and none is invented."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from archives import expect_dummies
from broken_folders import COLORS, FAULTS, HARMLESS, Expected, make_sound, save_palette
from PIL import Image
from source_folders import make_folder, numbered, random_image, random_mask, save

from deeplab.cli.main import main
from deeplab.data import DATASETS, DataConfig, load_dataset
from deeplab.data.checking import check_named, class_weights, render_check, weights_binding
from deeplab.data.checking.duplicates import Duplicates
from deeplab.data.checking.result import CheckResult, SplitTally
from deeplab.data.checking.samples import Sample
from deeplab.data.records.decode import decode_label
from deeplab.data.sources.classes import default_colors
from deeplab.data.sources.problems import KINDS
from deeplab.data.sources.source import Pair
from deeplab.errors import DeepLabError

GIN = "--gin_file=dataset/folder.gin"


def check(source: Path, data_dir: Path) -> CheckResult:
    config = DataConfig(dataset="folder")
    return check_named(config, data_dir=str(data_dir), source_dir=str(source), silent=True)


def found(result: CheckResult, source: Path) -> list[Expected]:
    return sorted(
        (item.kind, item.file.relative_to(source).as_posix(), not item.is_warning)
        for item in result.problems
    )


def test_a_sound_folder_has_no_problems(tmp_path: Path) -> None:
    result = check(make_sound(tmp_path / "source"), tmp_path / "data")
    assert result.ok and result.problems == () and result.notes == ()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alone_is_found(name: str, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    plant, expected = FAULTS[name]
    plant(source)
    result = check(source, tmp_path / "data")
    assert found(result, source) == sorted(expected)
    assert result.ok == (not any(is_error for _, _, is_error in expected))


def test_all_faults_together_are_found_and_none_invented(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    expected: list[Expected] = []
    for plant, problems in FAULTS.values():
        plant(source)
        expected += problems
    for plant in HARMLESS.values():
        plant(source)
    result = check(source, tmp_path / "data")
    assert found(result, source) == sorted(expected)
    assert {kind for kind, _, _ in expected} == set(KINDS) - {"binary_mask"}


@pytest.mark.parametrize(
    ("sizes", "missing"),
    [
        ({"train/a": (6, 7)}, "unknown split 'val'"),
        ({"val/a": (6, 7), "test/b": (6, 7)}, "unknown split 'train'"),
    ],
)
def test_a_split_that_training_needs(
    tmp_path: Path, sizes: dict[str, tuple[int, int]], missing: str
) -> None:
    source = make_folder(tmp_path / "source", sizes)
    (problem,) = check(source, tmp_path / "data").problems
    assert (problem.kind, problem.file, problem.is_warning) == ("missing_image", source, False)
    assert missing in problem.detail and "choices: " in problem.detail
    config = DataConfig(dataset="folder", train_split="test", eval_split="val")
    result = check_named(config, source_dir=str(source), silent=True)
    assert result.ok == ("test/b" in sizes)


@pytest.mark.parametrize("ids", [(0, 255), (255,)])
def test_a_training_split_that_teaches_nothing(tmp_path: Path, ids: tuple[int, ...]) -> None:
    source = make_folder(tmp_path / "source", {"train/a": (9, 9), "train/b": (9, 9)}, ids=ids)
    make_folder(source, {"val/c": (8, 9)})
    result = check(source, tmp_path / "data")
    (problem,) = [problem for problem in result.problems if not problem.is_warning]
    assert (problem.kind, problem.file) == ("binary_mask", source)
    expected = "all masks of the split 'train' together hold nothing but the ids"
    assert problem.detail.startswith(expected)
    with pytest.raises(DeepLabError, match="all masks of the split 'train' in .*nothing but"):
        load_dataset("folder", data_dir=str(tmp_path / "data"), source_dir=str(source))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_odd_but_right_is_no_problem(name: str, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    HARMLESS[name](source)
    assert check(source, tmp_path / "data").problems == ()


@pytest.mark.parametrize("name", [name for name, (_, rows) in FAULTS.items() if rows[0][2]])
def test_preparing_stops_at_every_error_but_at_shared_images(name: str, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    FAULTS[name][0](source)
    arguments = {"data_dir": str(tmp_path / "data"), "source_dir": str(source)}
    if name == "image in two splits":  # measured numbers would be too good, but it trains
        load_dataset("folder", **arguments)
        return
    with pytest.raises(ValueError, match=Path(FAULTS[name][1][0][1]).name):
        load_dataset("folder", **arguments)
    assert not (tmp_path / "data").exists()


def test_details_say_what_to_do(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    for plant, _ in FAULTS.values():
        plant(source)
    details = {
        (item.kind, item.file.name): item.detail for item in check(source, tmp_path).problems
    }
    for kind, name, pattern in (
        ("unreadable", "p02.png", r"the file is empty"),
        ("unreadable", "p04.png", r"40000x40000 pixels .*268435456"),
        ("unreadable", "p06.png", r"convert it to 8 bits"),
        ("unreadable", "p22.png", r"is a symbolic link to /nowhere/p22\.png: No such file"),
        ("unreadable", "p24.png", r"is not a regular file"),
        ("size_mismatch", "p14.png", r"is 32x24 \(width x height\), its image p14.png is 24x32"),
        ("id_out_of_range", "p08.png", r"holds the ids 7, but the classes are 0\.\.2"),
        ("colour_mask", "p09.png", r"are no class's in classes\.json"),
        ("colour_mask", "p17.png", r"preparing converts it"),
        ("duplicate_across_splits", "q10.png", r"same image as .*train/p10\.png of train"),
        ("missing_mask", "p11.png", r"expected .*labels/train/p11\.png"),
        ("palette_mask", "p16.png", r"its indices are the class ids"),
        ("single_class", "p18.png", r"nothing but 'dog' \(id 2\)$"),
        ("single_class", "p19.png", r"nothing but ignored pixels"),
        ("single_class", "p21.png", r"nothing but 'background' \(id 0\) and ignored pixels"),
    ):
        assert re.search(pattern, details[kind, name])


def test_a_colour_mask_without_class_colours_names_the_way_out(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", {"train/a": (4, 4), "val/b": (4, 4)})
    save(source / "labels/val/b.png", np.array(COLORS, np.uint8)[random_mask(4, 4, (0, 1))])
    (problem,) = check(source, tmp_path).problems
    assert (problem.kind, problem.is_warning) == ("colour_mask", False)
    assert 'add "colors": [[r, g, b], ...]' in problem.detail
    assert "2 colours: (0, 0, 0), (128, 0, 0)" in problem.detail
    save(source / "labels/val/b.png", np.repeat(random_mask(4, 4, (0, 1))[..., None], 3, axis=2))
    (problem,) = check(source, tmp_path).problems
    assert "three channels are equal" in problem.detail


def test_binary_masks_are_one_problem(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(6), ids=(0, 255))
    (problem,) = check(source, tmp_path).problems
    assert (problem.kind, problem.file, problem.is_warning) == ("binary_mask", source, False)
    assert "save it as 1" in problem.detail


def test_one_class_in_all_masks_is_one_warning(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(6), ids=(1, 255))
    result = check(source, tmp_path)
    (problem,) = result.problems
    assert (problem.kind, problem.file, result.ok) == ("single_class", source, True)
    assert problem.detail == "all 6 masks hold nothing but 'cat' (id 1)"


def test_no_image_has_a_mask(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(3))
    shutil.rmtree(source / "labels")
    (source / "labels").mkdir()
    result = check(source, tmp_path)
    assert [item.kind for item in result.problems] == ["missing_mask"] * 3
    assert result.splits == {} and not result.ok


def _list(source: Path, rows: Iterable[tuple[str, str, str]]) -> Path:
    lines = [",".join(row) for row in rows]
    path = source / "list.csv"
    path.write_text("\n".join(["image,label,split", *lines]))
    return path


def test_lists(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(3))
    image, label = "images/picture0{}.png".format, "labels/picture0{}.png".format
    path = _list(
        source,
        [
            (image(0), label(0), "train"),
            (image(1), label(1), "val"),
            (image(0), label(0), "val"),
            (image(2), "labels/no.png", "train"),
            ("images/no.png", label(2), "train"),
        ],
    )
    assert found(check(path, tmp_path / "data"), source) == [
        ("duplicate_across_splits", image(0), True),
        ("missing_image", "images/no.png", True),
        ("missing_mask", image(2), True),
    ]


def test_split_lists(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(4))
    (source / "splits").mkdir()
    for name, text in {
        "train": "picture00\npicture01\npicture09\n",
        "val": "picture02\npicture03\n",
        # A union of splits is meant to share their images.
        "trainval": "picture00\npicture01\npicture02\npicture03\n",
    }.items():
        (source / "splits" / f"{name}.txt").write_text(text)
    (source / "labels/picture03.png").unlink()
    result = check(source, tmp_path / "data")
    assert found(result, source) == [
        ("missing_image", "splits/train.txt", True),
        ("missing_mask", "images/picture03.png", True),
    ]
    table = " ".join(render_check(result).split())
    assert "missing_image, 1 x an image that should be there" in table
    assert "splits/train.txt: names 'picture09', but images/ has no picture09.jpg," in table
    assert {name: tally.num_images for name, tally in result.splits.items()} == {
        "train": 2,
        "val": 1,
        "trainval": 3,
    }


@pytest.mark.parametrize(
    ("first", "second", "is_problem"),
    [
        (("train", "a"), ("val", "a"), True),
        (("train", "a"), ("val", "b"), True),
        (("train", "a"), ("train", "b"), False),
        (("train", "a"), ("trainval", "a"), False),
        (("train", "a"), ("trainval", "b"), True),
        (("extra", "a"), ("val", "a"), True),  # named by the settings
    ],
)
def test_which_splits_may_share_images(
    first: tuple[str, str], second: tuple[str, str], is_problem: bool
) -> None:
    duplicates = Duplicates(["extra", "val"])
    samples = [
        Sample(split, Pair(name, Path(name), Path(name)), bytes, bytes)
        for split, name in (first, second)
    ]
    assert duplicates.add(b"same", samples[0]) is None
    assert (duplicates.add(b"same", samples[1]) is not None) == is_problem
    assert duplicates.add(b"other", samples[1]) is None


def _turn(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: the size stays
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)


def test_images_and_masks_that_exif_turns_are_noted(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    for name in ("images/val/q00", "images/val/q01", "labels/val/q01"):
        _turn(source / f"{name}.png")
    result = check(source, tmp_path)
    assert result.ok and result.notes == (
        "images turned as their EXIF orientation says: 2, of which 1 with their masks; each mask "
        "must fit the turned image",
    )
    _turn(source / "labels/val/q02.png")
    assert check(source, tmp_path).notes[1] == (
        "masks turned as their own EXIF orientation says, but not their images: 1"
    )


# Colours


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "palette", "shuffled palette"])
def test_masks_in_class_colours_are_converted_by_colour(mode: str, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    mask = random_mask(24, 32, (0, 1, 2, 255))
    colors = np.zeros((256, 3), np.uint8)
    colors[[0, 1, 2, 255]] = [*COLORS, (224, 224, 192)]
    path = source / "labels/val/q00.png"
    if mode == "RGB":
        save(path, colors[mask])
    elif mode == "RGBA":
        save(path, np.dstack([colors[mask], np.full((24, 32), 9, np.uint8)]))
    else:
        order = np.arange(256)
        if mode.startswith("shuffled"):
            order[[0, 1, 2]] = [2, 0, 1]
        inverse = np.argsort(order).astype(np.uint8)
        save_palette(path, inverse[mask], tuple(map(tuple, colors[order].tolist())))
    result = check(source, tmp_path / "data")
    (problem,) = result.problems
    assert result.ok and ("disagree" in problem.detail) == mode.startswith("shuffled")
    dataset = load_dataset("folder", data_dir=str(tmp_path / "data"), source_dir=str(source))
    record = next(iter(dataset.records("val")))
    assert record["id"] == b"val/q00"
    np.testing.assert_array_equal(decode_label(record["label"]), mask)


@pytest.mark.parametrize(
    ("ids", "palette"),
    [
        ((0, 1, 2), (COLORS[0], COLORS[1], (1, 2, 3))),  # where both agree but for one colour
        ((0, 1, 2), ((9, 9, 9), (8, 8, 8), (1, 2, 3))),
        ((0, 2), (COLORS[0], COLORS[0], (1, 2, 3))),  # the colour that disagrees is not used
        ((0, 1, 2, 255), (*COLORS[:2], *[(7, 7, 7)] * 253, (224, 224, 192))),
    ],
)
def test_one_other_colour_and_the_palettes_indices_count(
    ids: tuple[int, ...], palette: tuple[tuple[int, int, int], ...], tmp_path: Path
) -> None:
    source = make_sound(tmp_path / "source")
    mask = random_mask(24, 32, ids)
    save_palette(source / "labels/val/q00.png", mask, palette)
    (problem,) = check(source, tmp_path / "data").problems
    assert "its indices are the class ids" in problem.detail
    dataset = load_dataset("folder", data_dir=str(tmp_path / "data"), source_dir=str(source))
    record = next(iter(dataset.records("val")))
    np.testing.assert_array_equal(decode_label(record["label"]), mask)


@pytest.mark.parametrize(
    ("ids", "palette", "message"),
    [
        (
            (0, 1, 2),
            (COLORS[1], COLORS[0], (1, 2, 3)),
            r"index 0, \(128, 0, 0\), is that of class 1, but the colours \(1, 2, 3\) are no",
        ),
        ((1, 2), ((1, 1, 1), (224, 224, 192), (1, 2, 3)), "index 1, .* is that of class 255"),
        ((1, 2, 255), (*[(1, 2, 3)] * 255, COLORS[2]), r"index 255, \(0, 128, 0\), .* class 2"),
    ],
)
def test_a_palette_that_can_be_read_in_two_ways_is_refused(
    ids: tuple[int, ...],
    palette: tuple[tuple[int, int, int], ...],
    message: str,
    tmp_path: Path,
) -> None:
    source = make_sound(tmp_path / "source")
    mask = random_mask(24, 32, ids)
    save_palette(source / "labels/val/q00.png", mask, palette)
    (problem,) = check(source, tmp_path / "data").problems
    assert (problem.kind, problem.is_warning) == ("colour_mask", False)
    assert re.search(message, problem.detail) and 'remove "colors"' in problem.detail
    arguments = {"data_dir": str(tmp_path / "data"), "source_dir": str(source)}
    with pytest.raises(DeepLabError, match=r"the mask .*q00\.png has a palette whose colours"):
        load_dataset("folder", **arguments)
    # Without colours of classes there is one way.
    (source / "classes.json").write_text('{"classes": ["background", "cat", "dog"]}')
    record = next(iter(load_dataset("folder", **arguments).records("val")))
    np.testing.assert_array_equal(decode_label(record["label"]), mask)


@pytest.mark.parametrize("with_colors", [False, True])
def test_masks_with_the_palette_of_pascal_are_read_by_index(
    with_colors: bool, tmp_path: Path
) -> None:
    source = make_sound(tmp_path / "source")
    names = [f"class {index}" for index in range(21)]
    content = {"classes": names} | ({"colors": default_colors(21)} if with_colors else {})
    (source / "classes.json").write_text(json.dumps(content))
    mask = random_mask(24, 32, (*range(21), 255))
    save_palette(source / "labels/val/q00.png", mask, default_colors(256))
    (problem,) = check(source, tmp_path / "data").problems
    assert problem.kind == "palette_mask" and problem.is_warning
    dataset = load_dataset("folder", data_dir=str(tmp_path / "data"), source_dir=str(source))
    np.testing.assert_array_equal(decode_label(next(iter(dataset.records("val")))["label"]), mask)


def test_a_colour_of_two_classes_is_neither(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    content = {"classes": ["a", "b", "c"], "colors": [[0, 0, 0], [5, 5, 5], [5, 5, 5]]}
    (source / "classes.json").write_text(json.dumps(content))
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[0] = 5
    pixels[1] = (0, 0, 1)
    save(source / "labels/val/q00.png", pixels)
    (problem,) = check(source, tmp_path / "data").problems
    assert not problem.is_warning and "(0, 0, 1), (5, 5, 5)" in problem.detail


# Numbers


def test_class_pixels_are_counted(tmp_path: Path) -> None:
    source = make_folder(
        tmp_path / "source", {"train/a": (2, 4), "train/b": (2, 4), "val/c": (1, 2)}
    )
    save(source / "labels/train/a.png", np.array([[0, 0, 0, 1], [0, 0, 255, 255]], np.uint8))
    save(source / "labels/train/b.png", np.array([[0, 0, 0, 0], [2, 2, 2, 255]], np.uint8))
    save(source / "labels/val/c.png", np.array([[0, 1]], np.uint8))
    result = check(source, tmp_path)
    assert result.total.class_pixels.tolist() == [10, 2, 3]
    assert result.total.class_images.tolist() == [3, 2, 1]
    assert result.total.num_pixels == 18
    train = result.splits["train"]
    assert train.class_pixels.tolist() == [9, 1, 3]
    assert train.pixels_where_present.tolist() == [13, 6, 7]
    # Frequencies 9/13, 1/6, 3/7, of which 3/7 is the median.
    expected = [3 / 7 / (9 / 13), 3 / 7 * 6, 1]
    np.testing.assert_allclose(class_weights(train), expected, rtol=1e-12)
    assert weights_binding(class_weights(train)) == "LossConfig.class_weights = (0.619, 2.571, 1)"


def test_a_class_that_never_occurs_weighs_1_and_changes_nothing() -> None:
    def tally(*counts: int) -> SplitTally:
        pixels = np.array(counts)
        return SplitTally(pixels, np.sign(pixels), np.sign(pixels) * pixels.sum())

    one, two, three = class_weights(tally(60, 10, 30))
    assert class_weights(tally(60, 0, 10, 30)) == (one, 1.0, two, three)
    assert class_weights(tally(0, 0)) == (1.0, 1.0)


# Prepared records


def test_records_are_checked_where_there_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_dummies(monkeypatch, "camvid", train=2, val=1)
    source = make_folder(
        tmp_path / "source",
        {"train/a": (8, 9), "train/b": (8, 9), "val/c": (8, 9)},
        classes=load_names(),
        ids=(0, 3, 10, 255),
    )
    shutil.copy(source / "images/train/a.png", source / "images/val/c.png")
    data_dir = tmp_path / "data"
    load_dataset("camvid", data_dir=str(data_dir), source_dir=str(source))
    config = DataConfig(dataset="camvid")
    with_files = check_named(config, source_dir=str(source), data_dir=str(data_dir), silent=True)
    shutil.rmtree(source)
    result = check_named(config, data_dir=str(data_dir), silent=True)
    assert [(item.kind, str(item.file)) for item in result.problems] == [
        ("duplicate_across_splits", "camvid/val/c")
    ]
    assert result.total.class_pixels.tolist() == with_files.total.class_pixels.tolist()
    _damage(data_dir)
    result = check_named(config, data_dir=str(data_dir), silent=True)
    assert [(item.kind, str(item.file)) for item in result.problems] == [
        ("unreadable", "camvid/train/record 1"),
        ("duplicate_across_splits", "camvid/val/c"),
    ]


def load_names() -> tuple[str, ...]:

    return DATASETS["camvid"].class_names or ()


def _damage(data_dir: Path) -> None:
    """Changes a byte of the last record of the training split."""
    (path,) = data_dir.rglob("*train*tfrecord*")
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)


# The command


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


Run = Callable[..., tuple[int, str, str]]


class Page(HTMLParser):
    """Checks that tags are closed, and collects pictures and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures = 0
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert "href" not in values
        if "src" in values:
            assert (values["src"] or "").startswith("data:image/")
            self.pictures += 1
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_command_writes_and_prints_what_it_found(run: Run, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    for plant, _ in FAULTS.values():
        plant(source)
    for seed in range(60):  # more than is shown
        save(source / f"images/train/x{seed}.png", random_image(8, 8, 1000 + seed))
    output = tmp_path / "new" / "output"
    arguments = [GIN, f"--source_dir={source}", f"--data_dir={tmp_path}/data"]
    code, out, err = run("dataset", "check", *arguments, f"--output_dir={output}")
    assert (code, err) == (1, "")
    table = out.split("images/s\n")[-1]
    assert [line for line in table.splitlines()[:-1] if len(line) > 80] == []
    assert "error: missing_mask, 61 x an image without a mask" in out
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
    assert page.open == [] and page.pictures == 2 * 12
    assert "and 11 more, all of them in check.json" in page.text
    assert "http" not in page.text
    assert not (tmp_path / "data").exists()


def test_a_repeated_check_replaces_the_results(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = make_sound(tmp_path / "source")
    FAULTS["no mask"][0](source)
    own = [f"--images={source}/images", f"--labels={source}/labels"]
    own.append(f"--classes={source}/classes.json")
    assert run("dataset", "check", *own)[0] == 1
    save(source / "labels/train/p11.png", random_mask(24, 32))
    code, out, _ = run("dataset", "check", *own)
    assert code == 0 and "\nok\n" in out
    assert json.loads((tmp_path / "dataset_check/check.json").read_text())["ok"] is True
    assert len(list((tmp_path / "dataset_check").iterdir())) == 2


def test_stats_print_a_binding_of_the_training_split(run: Run, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    arguments = [GIN, f"--source_dir={source}", f"--output_dir={tmp_path}/weights"]
    code, out, err = run("dataset", "stats", *arguments)
    assert (code, err) == (0, "")
    binding = out.splitlines()[-2]
    assert re.fullmatch(r"LossConfig\.class_weights = \((\d[\d.]*, ){2}\d[\d.]*\)", binding)
    assert "split train: 26 images" in out
    assert (tmp_path / "weights/class_weights.gin").read_text().splitlines()[1] == binding
    classes = ["background", "cat", "dog", "unicorn"]
    (source / "classes.json").write_text(json.dumps({"classes": classes}))
    assert "never in this split, weight 1: unicorn" in run("dataset", "stats", *arguments)[1]
    FAULTS["unknown ids"][0](source)
    code, out, err = run("dataset", "stats", *arguments)
    assert code == 1 and "p08.png holds the ids 7" in err and err.count("\n") == 1
    wrong = "--gin_bindings=DataConfig.train_split='trian'"
    FAULTS["unknown ids"][0](source)
    save(source / "labels/train/p08.png", random_mask(24, 32))
    code, out, err = run("dataset", "stats", *arguments, wrong)
    assert code == 1 and "did you mean 'train'? choices: train, val" in err
    shutil.copy(source / "images/train/p01.png", source / "images/val/shared.png")
    save(source / "labels/val/shared.png", random_mask(24, 32))
    assert run("dataset", "check", GIN, f"--source_dir={source}")[0] == 1
    assert run("dataset", "stats", *arguments)[0] == 0, "of one split, whatever it shares"


@pytest.mark.parametrize("layout", ["split folders", "no splits"])
def test_two_folders_are_prepared_as_a_list_that_train_takes(
    layout: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    code, out, err = run("dataset", "prepare", *own, "--data_dir=data")
    assert (code, err) == (0, "")
    path = tmp_path / "dataset_list" / "list.jsonl"
    assert f"--source_dir={path} --data_dir={tmp_path}/data " in out
    assert sorted(item.name for item in path.parent.iterdir()) == ["classes.json", "list.jsonl"]
    prepared = sorted((tmp_path / "data/folder").iterdir())
    dataset = load_dataset("folder", data_dir=str(tmp_path / "data"), source_dir=str(path))
    assert sorted((tmp_path / "data/folder").iterdir()) == prepared  # not once more
    assert dataset.splits == {"train": 2, "val": 1}
    assert dataset.class_names == ("background", "cat", "dog")
    assert run("dataset", "prepare", *own, "--data_dir=data")[0] == 0  # and again


def test_what_cannot_be_prepared_leaves_no_list(run: Run, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    own = [f"--images={source}/images", f"--labels={source}/labels"]
    own += [f"--classes={source}/classes.json", f"--data_dir={tmp_path}/data"]
    FAULTS["unknown ids"][0](source)
    code, _, err = run("dataset", "prepare", *own, f"--output_dir={tmp_path}/new/list")
    assert code == 1 and "p08.png holds the ids 7" in err
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    code, _, err = run("dataset", "prepare", *own, f"--output_dir={source}")
    assert code == 1 and "holds other files, such as classes.json" in err


@pytest.mark.parametrize("command", ["prepare", "check", "stats"])
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
def test_bad_command_lines(
    command: str, flags: list[str], message: str, run: Run, tmp_path: Path
) -> None:
    code, _, err = run("dataset", command, *flags)
    assert code == 2 and message in err


@pytest.mark.parametrize("command", ["prepare", "check", "stats"])
@pytest.mark.parametrize("missing", ["images", "labels", "classes"])
def test_folders_that_are_not_there(
    command: str, missing: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = make_sound(tmp_path / "source")
    own = {"images": source / "images", "labels": source / "labels"}
    own["classes"] = source / "classes.json"
    own[missing] = source / "nowhere"
    code, _, err = run("dataset", command, *(f"--{name}={path}" for name, path in own.items()))
    assert code == 1 and "nowhere" in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


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
def test_an_output_dir_that_takes_no_files(run: Run, tmp_path: Path) -> None:
    flags = [GIN, f"--source_dir={make_sound(tmp_path / 'source')}"]
    code, out, err = run("dataset", "check", *flags, "--output_dir=/sys")
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert err.startswith("deeplab: cannot write to")
