"""CSV and JSONL lists of images and masks: what they hold, and everything that can be wrong."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from source_folders import ids_of, load, make_folder, numbered, refused

from deeplab.data.checking import prepare_folders
from deeplab.data.files.text import read_text
from deeplab.data.sources.classes import read_class_file
from deeplab.data.sources.folder import scan_folder
from deeplab.data.sources.lists import scan_list
from deeplab.errors import DeepLabError


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lists(tmp_path: Path, kind: str) -> None:
    source = make_folder(tmp_path / "source", numbered(3))
    rows = [
        {"image": f"images/picture0{i}.png", "label": f"labels/picture0{i}.png", "split": split}
        for i, split in enumerate(["val", "train", "train"])
    ]
    path = source / f"list.{kind}"
    if kind == "csv":
        lines = ["split,label,image,comment"]
        lines += [f"{row['split']},{row['label']}, {row['image']},x" for row in rows]
        path.write_text("\ufeff" + "\n".join(lines))
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    dataset = load(path, tmp_path / "data")
    assert dataset.splits == {"train": 2, "val": 1}
    assert ids_of(dataset, "train") == ["images/picture01", "images/picture02"]


def test_a_list_without_splits(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(4))
    lines = [f"images/picture0{i}.png,labels/picture0{i}.png" for i in range(4)]
    (source / "list.csv").write_text("\n".join(["image,label", *lines]))
    read = scan_list(source / "list.csv")
    assert set(read.splits) == {"train", "val"}
    assert "'split'" in read.note and "by a hash" in read.note and "lists" not in read.note


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.csv", ["image", "label", " split"]),
        ("a.csv", ["Image ", "LABEL", "Split", "width"]),
        ("a.jsonl", ["IMAGE", " label", "Split ", "width", "note"]),
    ],
)
def test_names_of_columns_in_any_case(name: str, header: list[str], tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(3))
    rows = [
        [f"images/picture0{i}.png", f"labels/picture0{i}.png", split, "7", "x"][: len(header)]
        for i, split in enumerate(["val", "train", "train"])
    ]
    if name == "a.csv":
        text = "\n".join(",".join(row) for row in [header, *rows])
    else:
        text = "\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in rows)
    (source / name).write_text(text)
    read = scan_list(source / name)
    assert {split: [pair.id for pair in pairs] for split, pairs in read.splits.items()} == {
        "train": ["images/picture01", "images/picture02"],
        "val": ["images/picture00"],
    }
    assert all(repr(other) in read.note for other in header[3:])
    assert bool(read.note) == (len(header) > 3)


@pytest.mark.parametrize("column", ["splits", "Set", "subset"])
def test_a_column_that_is_almost_a_split_is_named(
    column: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_folder(tmp_path / "source", numbered(4))
    lines = [f"images/picture0{i}.png,labels/picture0{i}.png,train" for i in range(4)]
    (source / "a.csv").write_text("\n".join([f"image,label,{column}", *lines]))
    load(source / "a.csv", tmp_path / "data")
    out = capsys.readouterr().out
    assert f"not read: '{column}'" in out and "by a hash of the name" in out


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    ],
)
def test_encodings_that_are_read(encode: Callable[[str], bytes], tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_bytes(encode("Straße\r\n道路\n🚗"))
    assert read_text(classes) == "Straße\n道路\n🚗"
    assert read_class_file(classes).names == ("Straße", "道路", "🚗")


@pytest.mark.parametrize(
    ("encoding", "letter", "why"),
    [("cp1252", "ß", "line 2 holds the byte 0xdf"), ("utf-16-le", "x", "zero bytes")],
)
def test_other_encodings_are_one_line_with_the_way_out(
    encoding: str, letter: str, why: str, tmp_path: Path
) -> None:
    source = make_folder(tmp_path / "source", numbered(2), classes=None)
    texts = {"classes.txt": "car\n", "splits/train.txt": "picture00\n", "a.csv": "image,label\n"}
    (source / "splits").mkdir()
    for name, text in texts.items():
        (source / name).write_bytes(f"{text}{letter}".encode(encoding))
        with pytest.raises(DeepLabError, match=f"{source / name} .*{why}.*UTF-8") as caught:
            scan_list(source / name) if name == "a.csv" else scan_folder(source)
        assert "\n" not in str(caught.value)
        (source / name).write_text("background\ncat\n")


@pytest.mark.parametrize("kind", ["folder", "split list", "csv"])
@pytest.mark.parametrize("forms", [("NFC", "NFD", "NFC"), ("NFD", "NFC", "NFC"), ("NFC",) * 3])
def test_accents_are_the_same_in_both_forms(
    kind: str, forms: tuple[str, str, str], tmp_path: Path
) -> None:
    names = ["é", "straße", "ngữ"]
    image, mask, listed = ([unicodedata.normalize(form, name) for name in names] for form in forms)
    source = make_folder(tmp_path / "source", dict.fromkeys(names, (8, 9)))
    for i, name in enumerate(names):
        (source / f"images/{name}.png").rename(source / f"images/{image[i]}.png")
        (source / f"labels/{name}.png").rename(source / f"labels/{mask[i]}.png")
    if kind == "csv":
        lines = [f"images/{name}.png,labels/{name}.png,train" for name in listed]
        (source / "a.csv").write_text("\n".join(["image,label,split", *lines]))
        read = scan_list(source / "a.csv")
    elif kind == "split list":
        (source / "splits").mkdir()
        (source / "splits/train.txt").write_text("\n".join(listed))
        read = scan_folder(source)
    else:
        read = scan_folder(source)
    assert read.problems == () and sum(read.sizes.values()) == 3
    expected = {f"images/{name}" if kind == "csv" else name for name in names}
    assert {pair.id for pairs in read.splits.values() for pair in pairs} == expected


def test_hidden_and_other_files_beside_split_lists(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(3))
    (source / "splits").mkdir()
    (source / "splits/.DS_Store").write_bytes(b"\x00\xff")
    assert "by a hash" in scan_folder(source).note
    (source / "splits/train.csv").write_text("picture00")
    with pytest.raises(DeepLabError, match=r"splits/train\.csv is no split list"):
        scan_folder(source)
    (source / "splits/train.txt").write_text("picture00")
    (source / "splits/._train.txt").write_bytes(b"\x00\x05\x16\x07\xff")
    assert scan_folder(source).sizes == {"train": 1}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "first line must name the columns"),
        ("a.csv", "image,label\n", "is empty"),
        ("a.csv", "picture,label\na,b\n", "first line must name the columns"),
        (
            "a.csv",
            "image,label\nimages/no.png,labels/no.png\n",
            r"no\.png does not exist; .*line 2",
        ),
        ("a.csv", "image,label\nimages/picture00.png\n", "line 2: no label"),
        ("a.csv", "image,label,Image\na.png,b.png,c.png\n", "line 2: two columns are named image"),
        ("a.jsonl", '{"image": "a.png", "Image": "b.png"}', "line 1: two columns are named image"),
        ("a.jsonl", "{", "line 1 is not JSON"),
        ("a.jsonl", "[]", "line 1: expected"),
        ("a.jsonl", '{"image": 3, "label": "x"}', "image is 3"),
        ("a.jsonl", '{"image": "images/picture00.png", "label": "x.jpg"}', r"is not \.png"),
    ],
)
def test_bad_lists(tmp_path: Path, name: str, text: str, message: str) -> None:
    source = make_folder(tmp_path / "source", numbered(1))
    (source / name).write_text(text)
    refused(source / name, tmp_path, message)


OK = '{"image": "images/picture00.png", "label": "labels/picture00.png"}\n'
LONG = f"{'n' * 300}.png"  # more than a file system takes
UNCLOSED = 'image,label\n\nimages/picture00.png,labels/picture00.png\n"c.png,d.png\ne.png,f.png\n'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", f'{OK}{{"image": {"[" * 100_000}', "line 2: the brackets are nested"),
        ("a.jsonl", f'{OK}{{"image": {"9" * 5000}}}', "line 2: a number has too many"),
        ("a.jsonl", OK + '{"image": "\\ud800.png"}', "line 2: the image .* cannot name a file"),
        ("a.jsonl", OK + '{"image": "a\\u0000.png"}', "line 2: the image .* cannot name a file"),
        ("a.jsonl", f'{OK}{{"image": {[1] * 999}}}', r"line 2: image is \[1, .{55,60}\.\.\., exp"),
        (
            "a.jsonl",
            OK + json.dumps({"image": LONG, "label": "labels/picture01.png"}),
            r"nnn\.png does not exist; .*line 2 names it",
        ),
        (
            "a.jsonl",
            OK + json.dumps({"image": "images/picture01.png", "label": LONG}),
            r"picture01\.png has no mask: .*nnn\.png, which .*line 2 names, does not exist",
        ),
        ("a.csv", f"image,label\na.png,b.png\n{'x' * 140_000},y\n", "line 3 cannot .*131072"),
        ("a.csv", UNCLOSED, "line 4 cannot be read: .*is a quote in it not closed"),
        ("a.csv", '"image,label\na.png,b.png\n', "first line must name the columns"),
        ("a.csv", f"{'x' * 140_000}\n", "line 1 cannot be read"),
    ],
)
def test_hostile_lists(tmp_path: Path, name: str, text: str, message: str) -> None:
    source = make_folder(tmp_path / "source", numbered(2))
    (source / name).write_text(text)
    refused(source / name, tmp_path, message)
    with pytest.raises(DeepLabError, match=str(source / name)):
        load(source / name, tmp_path / "data")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "split list", "two folders"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_names_with_characters_that_could_end_a_line(kind: str, end: str, tmp_path: Path) -> None:
    names = ["a\u2028b", "c\x85d", "e\x0cf", "g"]
    source = path = make_folder(tmp_path / "source", dict.fromkeys(names, (8, 9)))
    files = [(f"images/{name}.png", f"labels/{name}.png") for name in names]
    if kind == "csv":
        lines = ["image,label", *[",".join(pair) for pair in files]]
    elif kind == "jsonl":
        rows = [{"image": image, "label": label} for image, label in files]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    else:
        lines = names
    text = end.join(lines) + end
    if kind == "split list":
        (source / "splits").mkdir()
        (source / "splits/train.txt").write_bytes(text.encode())
        assert load(source, tmp_path / "data").splits == {"train": 4}
        return
    if kind == "two folders":
        arguments = (source / "images", source / "labels", source / "classes.json")
        prepare_folders(*arguments, tmp_path / "list", data_dir=str(tmp_path / "data"))
        path = tmp_path / "list" / "list.jsonl"
    else:
        path = source / f"list.{kind}"
        path.write_bytes(text.encode())
    assert sum(load(path, tmp_path / "data").splits.values()) == 4


def test_errors_of_two_folders_name_no_file_that_is_gone(tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", numbered(4), ids=(0, 255))
    arguments = (source / "images", source / "labels", source / "classes.json")
    with pytest.raises(DeepLabError, match=f"all masks in {source}/labels together hold"):
        prepare_folders(*arguments, tmp_path / "list", data_dir=str(tmp_path / "data"))
    assert not (tmp_path / "list").exists()
