"""CSV and JSONL lists of images and masks: what they hold, and everything that can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from source_folders import load, make_folder, numbered, refused

from deeplab.data import PreparedDataset
from deeplab.data.checking import prepare_folders
from deeplab.errors import DeepLabError


def ids_of(dataset: PreparedDataset, split: str) -> list[str]:
    return [record["id"].numpy().decode() for record in dataset.records(split)]


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
    assert set(load(source / "list.csv", tmp_path / "data").splits) == {"train", "val"}


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
