"""Folders of images with more than three channels: files, records, batches, hostile input."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from image_bytes import empty_png, encoded, orientation, png_header, png_of_rows
from source_folders import load, make_channel_folder, make_folder, random_image, random_mask, save
from streams import training_batches

from deeplab.data import (
    AugmentConfig,
    DataConfig,
    PreparedDataset,
    evaluation_batches,
    folder_pairs,
    load_dataset,
)
from deeplab.data.checking import check_folders, check_named, prepare_folders
from deeplab.data.files.decode import decode_image, decode_image_part, image_size
from deeplab.data.files.images import png, read_image
from deeplab.data.files.pixels import decode_channels
from deeplab.data.sources.classes import ClassList, read_class_file
from deeplab.data.sources.pairs import Source
from deeplab.errors import DeepLabError

# Sizes of which none is square or divisible by the channels.
SIZES = {
    "train/a": (11, 7),
    "train/b": (9, 14),
    "train/c": (11, 7),
    "val/d": (5, 6),
    "val/e": (5, 6),
}
PAD = (10.0, 20.0, 30.0, 40.0, 50.0)
Folder = tuple[PreparedDataset, dict[str, np.ndarray]]


@pytest.fixture(scope="module", params=[4, 5])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("channels")
    pixels = make_channel_folder(root / "source", SIZES, request.param)
    return load(root / "source", root / "data"), pixels


def test_batches_hold_every_value(folder: Folder) -> None:
    dataset, pixels = folder
    assert dataset.input_channels == next(iter(pixels.values())).shape[-1]
    for size in (1, 2):
        seen = []
        for batch in evaluation_batches(dataset, size).as_numpy_iterator():
            for name, image in zip(batch["id"], batch["image"], strict=True):
                np.testing.assert_array_equal(image, pixels[name.decode()])
                seen.append(name)
        assert seen == [b"val/d", b"val/e"]


@pytest.mark.parametrize("cache", ["none", "decoded"])
def test_crops_are_cut_through_all_channels(folder: Folder, cache: str) -> None:
    dataset, pixels = folder
    channels = dataset.input_channels
    config = DataConfig(
        dataset="folder",
        crop_size=(20, 20),
        min_scale=1.0,
        max_scale=1.0,
        cache=cache,
        flip_probability=0.0,
    )
    options: dict[str, Any] = {"global_batch_size": 2, "pad_value": PAD[:channels], "seed": 1}
    seen = set()
    for batch in training_batches(dataset, config, 6, **options):
        assert batch["image"].shape == (2, 20, 20, channels)
        for name, image in zip(batch["id"], batch["image"], strict=True):
            expected = pixels[name.decode()]
            height, width = expected.shape[:2]
            np.testing.assert_array_equal(image[:height, :width], expected)
            np.testing.assert_array_equal(image[-1, -1], PAD[:channels])
            seen.add(name)
    assert len(seen) == 3


@pytest.mark.slow
def test_augmentation_keeps_all_channels(folder: Folder) -> None:
    dataset, _ = folder
    augment = AugmentConfig(distortions=("photometric", "rotation"), mix="cut_mix")
    config = DataConfig(dataset="folder", crop_size=(9, 8), augment=augment, resize_min_side=8)
    channels = dataset.input_channels
    options: dict[str, Any] = {"global_batch_size": 2, "pad_value": PAD[:channels], "seed": 1}
    for batch in training_batches(dataset, config, 3, **options):
        assert batch["image"].shape == (2, 9, 8, channels)
        assert batch["image"].min() >= 0 and batch["image"].max() <= 255


@pytest.mark.parametrize("channels", [4, 5, 13])
def test_a_record_is_exact(channels: int) -> None:
    pixels = np.random.default_rng(channels).integers(0, 256, (6, 5, channels), np.uint8)
    data = png(pixels)
    np.testing.assert_array_equal(decode_image(data, channels), pixels)
    assert image_size(tf.constant(data), channels).numpy().tolist() == [6, 5]
    part = decode_image_part(data, tf.constant([6, 5]), tf.constant([1, 2]), [4, 5], channels)
    np.testing.assert_array_equal(part, pixels[1:4, 2:5])


def npy(array: np.ndarray, **options: bool) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def header(text: str, version: int = 1) -> bytes:
    """A .npy file that is nothing but its header."""
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode()


class Bomb:
    """Its pickle would raise if it were ever loaded."""

    def __reduce__(self) -> tuple[Callable[[int, int], object], tuple[int, int]]:
        return divmod, (1, 0)


FOUR = np.arange(6 * 5 * 4, dtype=np.uint8).reshape(6, 5, 4)
RGBA_16 = png_of_rows(png_header(1, 1, bits=16, color_type=6), bytes(9))
HOSTILE = {
    "RGB PNG": (4, encoded(FOUR[..., :3]), "has 3 channels (PNG, RGB), expected 4: an RGBA PNG"),
    "JPEG": (4, encoded(FOUR[..., :3], "JPEG"), "has 3 channels (JPEG, RGB), expected 4"),
    "grey": (4, encoded(FOUR[..., 0]), "has 1 channels (PNG, L), expected 4"),
    "16 bits": (4, RGBA_16, "(PNG, 16 bits, RGBA), expected 4"),
    "RGBA for five": (
        5,
        encoded(FOUR),
        "has 4 channels (PNG, RGBA), expected 5: a .npy file of uint8",
    ),
    "four for five": (5, npy(FOUR), "holds uint8 [6, 5, 4], expected 5: a .npy file of uint8"),
    "channels first": (4, npy(FOUR.transpose(2, 0, 1)), "holds uint8 [4, 6, 5], expected 4"),
    "no channels": (4, npy(FOUR[..., 0]), "holds uint8 [6, 5], expected 4"),
    "no pixels": (4, npy(FOUR[:0]), "holds uint8 [0, 5, 4], expected 4"),
    "wide": (4, npy(FOUR.astype(np.uint16)), "holds uint16 [6, 5, 4], expected 4"),
    "floats": (4, npy(FOUR.astype(np.float32)), "holds float32 [6, 5, 4], expected 4"),
    "pickled": (4, npy(np.array([Bomb()])), "holds object [1], expected 4"),
    "truncated": (4, npy(FOUR)[:-7], "the file is truncated: 113 of 120 values"),
    "truncated PNG": (4, encoded(FOUR)[:-30], "cannot read the image"),
    "no header": (4, npy(FOUR)[:20], "the header of the .npy file is damaged"),
    "signature": (4, b"\x93NUMPY", "cannot read the image"),
    "version": (4, b"\x93NUMPY\x07\x00" + bytes(20), "version 7.0, not 1.0 or 2.0"),
    "code": (4, header("__import__('os').abort()"), "the header of the .npy file is damaged"),
    "nested": (4, header("(" * 9000), "the header of the .npy file is damaged"),
    "long": (4, header("{" + " " * 70000, 2), "the header of the .npy file is damaged"),
    "negative": (
        4,
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, -2, 4)}"),
        "holds uint8 [-2, -2, 4], expected 4",
    ),
    "huge": (
        4,
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (20000, 20000, 4)}"),
        "20000x20000 pixels (width x height) of 4 channels, more than the 268435456 pixels",
    ),
    "many values": (
        13,
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (8000, 8000, 13)}"),
        "8000x8000 pixels (width x height) of 13 channels, more than",
    ),
    "wide rows": (
        4,
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 250001, 4)}"),
        "250001x2 pixels (width x height) of 4 channels, more than",
    ),
    "huge PNG": (
        4,
        empty_png(20000, 20000, color_type=6),
        "20000x20000 pixels (width x height), more than",
    ),
    "text": (4, b"not an image", "not an image of a known format"),
    "empty": (4, b"", "the file is empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_one_line(name: str, tmp_path: Path) -> None:
    channels, data, expected = HOSTILE[name]
    file = tmp_path / "x.npy"
    file.write_bytes(data)
    with pytest.raises(DeepLabError) as error:
        read_image(file, channels)
    assert expected in str(error.value)
    assert str(file) in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(file))


def test_values_are_taken_as_they_are(tmp_path: Path) -> None:
    """Alpha hides nothing, an orientation turns nothing, and memory order does not matter."""
    hidden = FOUR.copy()
    hidden[..., 3] = 0
    files = (encoded(hidden, exif=orientation(6)), npy(hidden), npy(np.asfortranarray(hidden)))
    for data in files:
        np.testing.assert_array_equal(decode_channels(data, tmp_path, 4), hidden)


@pytest.mark.parametrize("value", [0, 1, 2, -4, 4.0, "4", True, [4]])
def test_channels_of_a_class_list(value: object, tmp_path: Path) -> None:
    file = tmp_path / "classes.json"
    file.write_text(json.dumps({"classes": ["a", "b"], "channels": value}))
    with pytest.raises(DeepLabError, match=r'classes.json: "channels" must be .* not '):
        read_class_file(file)
    file.write_text(json.dumps({"classes": ["a", "b"], "channels": 7}))
    assert read_class_file(file).channels == 7


def test_only_other_channels_change_the_fingerprint(tmp_path: Path) -> None:
    def fingerprint(**settings: int) -> str:
        return Source(tmp_path, ClassList(("a", "b"), **settings), {}).fingerprint()

    # What the version before there were channels gave.
    assert fingerprint() == fingerprint(channels=3) == "f5faf35a8522f7f8620b"
    assert len({fingerprint(channels=n) for n in (3, 4, 5)}) == 3


def test_arrays_are_no_images_of_three_channels(tmp_path: Path) -> None:
    source = make_folder(tmp_path, {"train/a": (5, 6), "val/b": (5, 6)})
    np.save(source / "images" / "train" / "c.npy", FOUR)
    assert check_named(DataConfig(dataset="folder"), source_dir=str(source), silent=True).ok
    save(source / "labels" / "train" / "c.png", random_mask(6, 5))
    with pytest.raises(DeepLabError, match=r"has no image: expected .*c with .jpg, .jpeg, .png$"):
        load_dataset("folder", data_dir=str(tmp_path / "data"), source_dir=str(source))


def test_check_lists_wrong_channels(tmp_path: Path) -> None:
    make_channel_folder(tmp_path, SIZES, 4)
    wrong = save(tmp_path / "images" / "train" / "a.png", random_image(11, 7))
    result = check_named(DataConfig(dataset="folder"), source_dir=str(tmp_path), silent=True)
    assert [(p.kind, p.file) for p in result.problems] == [("unreadable", wrong)]
    assert "has 3 channels" in result.problems[0].detail
    assert not result.ok
    with pytest.raises(DeepLabError, match=r"a\.png has 3 channels \(PNG, RGB\), expected 4"):
        load_dataset("folder", data_dir=str(tmp_path / "data"), source_dir=str(tmp_path))
    assert not (tmp_path / "data").exists()


def test_check_and_its_examples(folder: Folder) -> None:
    dataset, pixels = folder
    config = DataConfig(dataset="folder")
    result = check_named(config, source_dir=dataset.source_dir, silent=True)
    assert result.ok, result.problems
    assert result.total.num_pixels == sum(height * width for height, width in SIZES.values())
    assert {example.name for example in result.examples} == set(SIZES)
    for example in result.examples:
        np.testing.assert_array_equal(example.image, pixels[example.name][..., :3])


def test_two_folders(tmp_path: Path) -> None:
    pixels = make_channel_folder(tmp_path / "source", SIZES, 5)
    images, labels, classes = (
        tmp_path / "source" / name for name in ("images", "labels", "classes.json")
    )
    assert check_folders(images, labels, classes, silent=True).ok
    prepared = prepare_folders(
        images, labels, classes, tmp_path / "list", data_dir=str(tmp_path / "data")
    )
    assert prepared.input_channels == 5
    # The list carries the channels on.
    again = load_dataset(
        "folder",
        data_dir=str(tmp_path / "data"),
        source_dir=str(tmp_path / "list" / "list.jsonl"),
        input_channels=5,
    )
    assert again.prepared_dir("train") == prepared.prepared_dir("train")
    pairs = folder_pairs(images, labels, num_classes=3, channels=5)
    seen = {batch["id"].numpy()[0].decode(): batch["image"][0].numpy() for batch in pairs}
    assert seen.keys() == pixels.keys()
    for name, image in seen.items():
        np.testing.assert_array_equal(image, pixels[name])


def test_other_channels_than_expected_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    make_channel_folder(tmp_path / "source", SIZES, 5)
    with pytest.raises(DeepLabError, match="input_channels is 4, but .* 'folder' have 5 channels"):
        load_dataset(
            "folder",
            data_dir=str(tmp_path / "data"),
            source_dir=str(tmp_path / "source"),
            input_channels=4,
        )
    assert not (tmp_path / "data").exists()
