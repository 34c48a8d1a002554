"""Masks as people have them become class ids, or an error that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from image_bytes import orientation, png_header, png_of_rows, save_palette
from PIL import Image
from source_folders import random_image, random_mask, save

from deeplab.data.colors import default_colors
from deeplab.data.files.decode import decode_image, decode_label
from deeplab.data.files.images import png, read_image
from deeplab.data.files.mask_ids import (
    ClassColors,
    IdRule,
    check_something_to_learn,
    check_something_to_measure,
)
from deeplab.data.files.masks import decode_mask, read_index_mask
from deeplab.data.sources.pair_tally import PairTally, judge
from deeplab.errors import DeepLabError


def save_gray_png(path: Path, mask: np.ndarray, bits: int) -> Path:
    """A gray PNG of 2 or 4 bits, which Pillow cannot write."""
    height, width = mask.shape
    levels = (mask[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(levels.reshape(height, -1).astype(np.uint8), axis=1)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    path.write_bytes(png_of_rows(png_header(width, height, bits=bits), lines))
    return path


def test_gray_and_palette_masks_give_their_indices(tmp_path: Path) -> None:
    mask = random_mask(7, 9, (0, 1, 2, 20, 255))
    np.testing.assert_array_equal(read_index_mask(save(tmp_path / "gray.png", mask)), mask)
    palette = save_palette(tmp_path / "palette.png", mask)
    with Image.open(palette) as image:
        assert image.mode == "P"
    np.testing.assert_array_equal(read_index_mask(palette), mask)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_masks_of_few_bits_give_their_levels(tmp_path: Path, bits: int) -> None:
    mask = random_mask(5, 11, range(2**bits))
    read = read_index_mask(save_gray_png(tmp_path / "mask.png", mask, bits))
    np.testing.assert_array_equal(read, mask)


def test_palette_masks_of_few_bits_give_their_indices(tmp_path: Path) -> None:
    mask = random_mask(5, 11, (0, 1, 2, 3))
    image = Image.fromarray(mask)
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 9, 9, 9])
    image.save(tmp_path / "mask.png", bits=2)
    np.testing.assert_array_equal(read_index_mask(tmp_path / "mask.png"), mask)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_encoded_labels_survive_tensorflow(dtype: type) -> None:
    label = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (9, 5)).astype(dtype)
    decoded = decode_label(png(label))
    assert decoded.dtype == "int32"
    np.testing.assert_array_equal(decoded, label)


def test_a_mask_in_colors_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", random_image(4, 4))
    with pytest.raises(DeepLabError, match=r"mask\.png is an image in colors \(RGB\)"):
        read_index_mask(path)


def test_alpha_beside_gray_levels_is_not_looked_at(tmp_path: Path) -> None:
    mask = random_mask(5, 8)
    alpha = Image.fromarray(random_mask(5, 8, range(256), 1))
    Image.merge("LA", (Image.fromarray(mask), alpha)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_index_mask(tmp_path / "mask.png"), mask)


def test_16_bit_gray_with_alpha_names_the_way_out(tmp_path: Path) -> None:
    header = png_header(2, 1, bits=16, color_type=4)
    (tmp_path / "mask.png").write_bytes(png_of_rows(header, bytes(9)))
    with pytest.raises(DeepLabError, match=r"gray with alpha of 16 bits.*save it without alpha"):
        read_index_mask(tmp_path / "mask.png")


def test_a_jpeg_mask_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.jpg", random_mask(8, 8))
    with pytest.raises(DeepLabError, match="JPEG, not PNG"):
        read_index_mask(path)


def test_ids_beyond_the_classes_name_file_and_ids(tmp_path: Path) -> None:
    mask = np.array([[0, 2, 37, 38, 255]], np.uint8)
    with pytest.raises(DeepLabError, match=r"bad\.png holds the ids 37, 38, .*0\.\.2.*ignore"):
        IdRule(3).labels(mask, tmp_path / "bad.png")


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [(255, [0, 1, 2, 255]), (11, [0, 1, 2, 255, 255]), (0, [255, 1, 2, 255])],
)
def test_ignored_ids_become_255(ignore: int, expected: list[int]) -> None:
    mask = np.array([[0, 1, 2, 255, 11][: len(expected)]], np.uint8)
    labels, ids = IdRule(3, ignore).labels(mask, Path("mask.png"))
    assert labels.dtype == np.uint8
    assert labels[0].tolist() == expected
    assert ids == set(mask.ravel().tolist())


def test_with_many_classes_255_is_a_class() -> None:
    rule = IdRule(300, 65535)
    mask = np.array([[0, 255, 299, 65535]], np.uint16)
    labels, _ = rule.labels(mask, Path("mask.png"))
    assert labels.dtype == np.uint16
    assert labels.tolist() == mask.tolist()
    assert rule.ignore_label == 65535


@pytest.mark.parametrize("ids", [{0, 255}, {0}, {255}])
def test_masks_of_0_and_255_alone_are_refused_with_the_way_out(ids: set[int]) -> None:
    with pytest.raises(DeepLabError, match="nothing but .*save it as 1"):
        check_something_to_learn(ids, IdRule(2), Path("labels"))


def test_masks_of_ignored_ids_alone_are_refused() -> None:
    with pytest.raises(DeepLabError, match="nothing but ignored ids: 11"):
        check_something_to_learn({11}, IdRule(11, 11), Path("labels"))
    check_something_to_learn({0, 1, 255}, IdRule(2), Path("labels"))


@pytest.mark.parametrize(
    ("masks", "is_suspected"),
    [
        ({(0, 255): 18, (0, 1): 2}, True),
        ({(0, 255): 2, (0, 1): 18}, True),
        ({(0, 1, 255): 18, (0, 255): 2}, False),  # 255 is a border, and two hold no object
        ({(0, 1, 255): 2, (0, 255): 2, (0,): 9}, False),
        ({(0, 1): 5, (255,): 5}, False),  # not labeled at all
        ({(0, 1): 5}, False),
    ],
)
def test_objects_that_are_lost_as_255(
    masks: dict[tuple[int, ...], int], is_suspected: bool
) -> None:
    tally = PairTally.total(
        PairTally.of(frozenset(ids)) for ids, count in masks.items() for _ in range(count)
    )
    assert bool(tally.lost_objects(IdRule(2))) == is_suspected
    assert not tally.lost_objects(IdRule(300, 65535))
    remarks = judge(PairTally.total([tally, tally]), IdRule(2), Path("x"), "train", tally)
    assert len(remarks) == is_suspected


def test_objects_that_are_lost_in_the_training_split_alone() -> None:
    train = PairTally.total(map(PairTally.of, [frozenset({0, 255}), frozenset({0, 1})]))
    rest = PairTally.total([PairTally.of(frozenset({0, 1, 255}))] * 9)
    (remark,) = judge(PairTally.total([train, rest]), IdRule(2), Path("x"), "train", train)
    assert remark.startswith("1 of 2 masks of the split 'train' hold nothing but 0 and 255")


def test_masks_that_measure_no_object_are_refused() -> None:
    where = Path("labels")
    with pytest.raises(DeepLabError, match="labels together hold nothing but the ids 0, 255"):
        check_something_to_measure([frozenset({0}), frozenset({255})], IdRule(2), where)
    check_something_to_measure([frozenset({0})], IdRule(2), where)  # nothing to be found in it
    check_something_to_measure([frozenset({0, 255})], IdRule(300, 65535), where)

    def masks() -> Iterator[frozenset[int]]:
        yield frozenset({0, 255})
        yield frozenset({1})
        raise AssertionError("the first two are enough")

    check_something_to_measure(masks(), IdRule(2), where)


def test_plain_images_keep_their_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        path = save(tmp_path / name, random_image(6, 10))
        encoded = read_image(path)
        assert encoded.data == path.read_bytes()
        assert (encoded.height, encoded.width) == (6, 10)


def test_jpeg_is_decoded_as_pillow_does(tmp_path: Path) -> None:
    smooth = Image.fromarray(random_image(8, 8)).resize((64, 48))
    smooth.save(tmp_path / "a.jpg", quality=80)
    decoded = decode_image(read_image(tmp_path / "a.jpg").data)
    with Image.open(tmp_path / "a.jpg") as image:
        np.testing.assert_array_equal(decoded, np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_other_images_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(random_image(6, 10)).convert(mode)
    image.save(tmp_path / "a.png")
    decoded = decode_image(read_image(tmp_path / "a.png").data)
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))


def test_cmyk_is_converted(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = decode_image(read_image(tmp_path / "a.jpg").data).numpy()[4, 4]
    assert red > 200 and green < 60 and blue < 60


def test_the_orientation_of_exif_is_applied(tmp_path: Path) -> None:
    pixels = random_image(6, 10)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=orientation(6))
    encoded = read_image(tmp_path / "a.png")
    assert (encoded.height, encoded.width) == (10, 6)
    np.testing.assert_array_equal(decode_image(encoded.data), np.rot90(pixels, -1))


TURNS = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.rot90(np.fliplr(pixels)),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(np.fliplr(pixels), -1),
    8: np.rot90,
}


@pytest.mark.parametrize("turn", [*TURNS, 0, 1, 9])
@pytest.mark.parametrize("form", ["grey", "palette", "16-bit grey", "colour", "bits"])
def test_the_orientation_of_a_masks_own_exif_is_applied(
    form: str, turn: int, tmp_path: Path
) -> None:
    mask = random_mask(5, 8, (0, 1) if form == "bits" else (0, 1, 2, 255))
    colors = np.array(default_colors(256), np.uint8)
    pixels = {"16-bit grey": mask.astype(np.uint16), "colour": colors[mask]}.get(form, mask)
    image = Image.fromarray(mask == 1 if form == "bits" else pixels)
    if form == "palette":
        image.putpalette(colors.ravel().tolist())
    image.save(tmp_path / "mask.png", exif=orientation(turn))
    known = ClassColors(default_colors(3)) if form == "colour" else None
    read = decode_mask((tmp_path / "mask.png").read_bytes(), tmp_path / "mask.png", known)
    expected = TURNS[turn](mask) if turn in TURNS else mask
    np.testing.assert_array_equal(read.ids, expected)
    assert read.is_turned == (turn in TURNS)
    assert read.form == {"bits": "grey"}.get(form, form)


def test_16_bit_images(tmp_path: Path) -> None:
    save(tmp_path / "gray.png", random_mask(4, 4).astype(np.uint16) * 250)
    with pytest.raises(DeepLabError, match="convert it to 8 bits"):
        read_image(tmp_path / "gray.png")


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "cut.jpg", random_image(60, 60))
    path.write_bytes(path.read_bytes()[:900])
    (tmp_path / "text.png").write_text("not an image")
    for name in ("cut.jpg", "text.png", "missing.png"):
        with pytest.raises(DeepLabError, match=f"cannot read the image .*{name}"):
            read_image(tmp_path / name)


def test_default_colors_are_those_of_voc() -> None:
    colors = default_colors(256)
    assert colors[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert colors[20] == (0, 64, 128)
    assert colors[255] == (224, 224, 192)
    assert len(set(colors)) == 256
