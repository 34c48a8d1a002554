"""Class lists, ours and those of labelme, CVAT, Roboflow and YOLO, and masks in their colors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from broken_folders import COLORS, check, make_sound
from source_folders import labels_of, load, random_mask, save

from deeplab.data.colors import IGNORE_COLOR
from deeplab.data.sources.classes import read_class_file, read_classes
from deeplab.errors import DeepLabError

NAMES = ("background", "cat", "dog")
LABELMAP = (
    "# label:color_rgb:parts:actions\n"
    "background:0,0,0::\n\ncat:128,0,0:head,tail:run\ndog:0,128,0::\n"
)
BILLION_LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(60)
)
BILLION_LAUGHS += "names: [cat, *a60]\n"


def test_class_lists(tmp_path: Path) -> None:
    text = tmp_path / "classes.txt"
    text.write_text("sky\nroad, wet \ncar\n\n")
    assert read_classes(tmp_path).names == ("sky", "road, wet", "car")
    text.unlink()
    json_file = tmp_path / "classes.json"
    json_file.write_text(
        '{"classes": ["a", "b"], "colors": [[0, 0, 0], [1, 2, 3]], "ignore": 0, "more": 1}'
    )
    classes = read_classes(tmp_path)
    assert (classes.names, classes.ignore) == (("a", "b"), 0)
    assert classes.colors == ((0, 0, 0), (1, 2, 3))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.json", "{", "is not JSON"),
        ("classes.json", "[1]", "a list of class names"),
        ("classes.json", '{"classes": "ab"}', "a list of class names"),
        ("classes.json", '{"classes": ["a"]}', "the background is a class too"),
        ("classes.json", '{"classes": ["a", "a"]}', "0 and 1 are both named 'a'"),
        ("classes.json", '{"classes": ["a", 1]}', "class 1 is 1"),
        ("classes.json", '{"classes": ["a", "b"], "colors": [[0, 0, 0]]}', "2 colors.*1 of them"),
        (
            "classes.json",
            '{"classes": ["a", "b"], "colors": [[0, 0, 0], [0, 0, 256]]}',
            r"\[0, 0, 256\]",
        ),
        ("classes.json", '{"classes": ["a", "b"], "ignore": true}', "not True"),
        ("classes.json", '{"classes": ["a", "b"], "ignore": -1}', "not -1"),
        ("classes.json", "[" * 100_000, "the brackets are nested too deeply"),
        ("classes.json", f'{{"classes": {"9" * 5000}}}', "a number has too many digits"),
        ("classes.json", '{"classes": ["a", "b\\nc"]}', r"class 1, 'b\\nc', has a control"),
        ("classes.json", '{"classes": ["a", "\\ud800"]}', "class 1, .* has a control character"),
        ("classes.json", '{"classes": ["a\\u2028b", "c"]}', "class 0, .* has a control character"),
        ("classes.txt", "a\nb\x85c\nd\n", "class 1, .* has a control character"),
        ("classes.txt", "a\nb\tc\nd\n", "class 1, .* has a control character"),
        ("classes.txt", "\n", r"lists 0 class\(es\)"),
        ("classes.txt", f"{'a' * 999}\n{'a' * 999}", r"0 and 1 are both named 'a{59}\.\.\.$"),
        ("labels.txt", "_background_\n__ignore__\ncat\n", "line 2: __ignore__ must be the first"),
        ("labels.txt", "__ignore__\n__ignore__\ncat\n", "line 2: __ignore__ must be the first"),
        ("labels.txt", "__ignore__\ncat\n", r"lists 1 class\(es\)"),
        ("classes.txt", "0 sky\n1 road\n", "numbers before the names, such as '0 sky'"),
        ("colors.txt", "64 128 64 Animal\n192 0 128 Arch\n", "numbers before the names"),
        ("labelmap.txt", LABELMAP + "bird\n", "line 6 is 'bird', expected name:red,green,blue"),
        ("labelmap.txt", "sky:::\nsea:1,2,3::\n", "line 1 is 'sky:::'"),
        ("labelmap.txt", "sky:1,2,3::\nsea:1,2,1000::\n", "line 2 is 'sea:1,2,1000::'"),
        ("labelmap.txt", "sky:1,2,3::\nsea:1,2,256::\n", r"\[1, 2, 256\] is not"),
        ("labelmap.txt", "sky:1,2,3::\nsky:1,2,4::\n", "0 and 1 are both named 'sky'"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\n", r"lists 0 class\(es\)"),
        ("classes.csv", "name,r,g,b\nsky,1,2,3\n", "first line is 'name,r,g,b'"),
        ("_classes.csv", "", "first line is ''"),
        ("_classes.csv", "Pixel Value, Class\n1, cat\n2, dog\n", r"must be 0\.\.1.* are '1, 2'"),
        ("_classes.csv", "Pixel Value, Class\n0, cat\n0, dog\n", r"must be 0\.\.1.* are '0, 0'"),
        ("_classes.csv", "Pixel Value, Class\n0, cat, 1\n", r"row \['0', 'cat', '1'\]"),
        ("_classes.csv", 'Pixel Value, Class\n0, "cat\n1, dog\n', r"csv, line \d cannot be read"),
        ("data.yaml", "nc: 2\n", "expected names: "),
        ("data.yaml", "names: cat\n", "expected names: "),
        ("data.yaml", "- cat\n- dog\n", "expected names: "),
        ("data.yaml", "names: {1: cat, 2: dog}\n", r"must be 0\.\.1.* are '1, 2'"),
        ("data.yaml", "names: [cat, ]dog\n", "cannot be read as YAML"),
        ("data.yaml", "names: &n [cat, *n]\n", "cannot be read as YAML"),
        ("data.yaml", BILLION_LAUGHS, "expected names: "),
        ("data.yaml", "[" * 2_000, "nested too deeply"),
        ("data.yaml", "names: !!python/object/apply:os.getcwd []\n", r"lists 0 class\(es\)"),
        ("label_map.pbtxt", "item { id: 1 name: 'cat' }", r"must end in \.json, \.txt, \.csv"),
        ("classes", "cat\ndog\n", r"must end in \.json, \.txt, \.csv"),
    ],
)
def test_bad_class_lists(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DeepLabError, match=message) as caught:
        read_class_file(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_class_names_of_all_scripts(tmp_path: Path) -> None:
    names = ("Straße", "道路", "नमस्ते", "کلاس\u200cها", "🚗")
    (tmp_path / "classes.txt").write_bytes("\r\n".join(names).encode())
    assert read_classes(tmp_path).names == names


@pytest.mark.parametrize(
    ("name", "content", "names", "colors"),
    [
        (
            "labels.txt",
            "__ignore__\n_background_\ncat\ndog\n",
            ("_background_", "cat", "dog"),
            None,
        ),
        ("labels.txt", "background\r\ncat\r\ndog", NAMES, None),
        ("labels.txt", "10\n20\n", ("10", "20"), None),
        ("labelmap.txt", LABELMAP, NAMES, COLORS),
        (
            "labelmap.txt",
            "# label : color (RGB) : 'body' parts : actions\nsky:1,2,3::\nsea:4,5,6::",
            ("sky", "sea"),
            ((1, 2, 3), (4, 5, 6)),
        ),
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n", NAMES, None),
        (
            "_classes.csv",
            '"pixel value","class"\r\n1,"road, wet"\r\n0,sky\r\n',
            ("sky", "road, wet"),
            None,
        ),
        ("data.yaml", "train: ../train\nnc: 3\nnames: [background, 'cat', \"dog\"]\n", NAMES, None),
        ("data.yaml", "names:\n- background # none\n- cat\n\n- dog\nnc: 3\n", NAMES, None),
        ("data.yaml", "names: ['a',\n  'b']", ("a", "b"), None),
        ("data.yaml", "names:\n  0: background\n  2: dog\n  1: cat\n", NAMES, None),
        ("data.yml", "names: {0: no, 1: 7, 2: null}", ("no", "7", "null"), None),
    ],
)
def test_class_lists_of_other_tools(
    name: str, content: str, names: tuple[str, ...], colors: object, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    classes = read_class_file(path)
    assert (classes.names, classes.colors, classes.ignore) == (names, colors, 255)
    if path.suffix != ".yml":
        assert read_classes(tmp_path) == classes


def test_two_class_lists_must_agree(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(json.dumps({"classes": NAMES, "ignore": 0}))
    for name, content, message in (
        ("classes.txt", "background\ncat\ncow\n", "class 2 is 'dog' and 'cow'"),
        ("data.yaml", "names: [cat, dog]", "they list 3 and 2 classes"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(DeepLabError, match=rf"classes\.json and .*{name} disagree: {message}"):
            read_classes(tmp_path)
        (tmp_path / name).unlink()
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    (tmp_path / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    classes = read_classes(tmp_path)  # the first one counts
    assert (classes.names, classes.ignore, classes.colors) == (NAMES, 0, None)
    colors = [COLORS[0], COLORS[1], (0, 0, 1)]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": NAMES, "colors": colors}))
    with pytest.raises(DeepLabError, match=r"labelmap\.txt disagree: the color of class 2 is "):
        read_classes(tmp_path)


def test_masks_of_cvat_are_read_by_the_colors_of_their_label_map(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    (source / "classes.json").unlink()
    (source / "labelmap.txt").write_text(LABELMAP)
    mask = random_mask(24, 32, (0, 1, 2, 255))
    colors = np.zeros((256, 3), np.uint8)
    colors[[0, 1, 2, 255]] = [*COLORS, IGNORE_COLOR]
    save(source / "labels/val/q00.png", colors[mask])
    (problem,) = check(source, tmp_path / "data").problems
    assert (problem.kind, problem.is_warning) == ("colour_mask", True)
    labels = labels_of(load(source, tmp_path / "data"), "val")
    np.testing.assert_array_equal(labels["val/q00"], mask)
