"""Damaged files are refused, or give TensorFlow the pixels that Pillow sees: nothing in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from broken_folders import make_sound
from image_bytes import Chunk, encoded, png_file, png_header, png_of_rows
from PIL import Image
from source_folders import random_image, random_mask, save

from deeplab.data import DataConfig, load_dataset
from deeplab.data.builders.folder import encoded_pair
from deeplab.data.checking import check_named
from deeplab.data.files.decode import decode_image, decode_label
from deeplab.data.files.images import read_image
from deeplab.data.files.mask_ids import IdRule
from deeplab.data.files.masks import read_index_mask
from deeplab.data.files.opening import PNG_SIGNATURE
from deeplab.data.files.pixels import decode_channels, read_pixels
from deeplab.data.files.problems import FileError
from deeplab.data.sources.pairs import Pair
from deeplab.errors import DeepLabError

HEIGHT, WIDTH = 9, 14
RULE = IdRule(256, 65535)


def smooth_image() -> np.ndarray:
    small = Image.fromarray(random_image(4, 4))
    return np.asarray(small.resize((WIDTH * 2, HEIGHT * 2), Image.Resampling.BICUBIC))


def png_chunks(data: bytes) -> list[Chunk]:
    """What a PNG file is made of."""
    chunks, offset = [], len(PNG_SIGNATURE)
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        chunks.append((data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]))
        offset += 12 + length
    return chunks


def png(raw: bytes, *, extra: Sequence[Chunk] = (), **header: int) -> bytes:
    return png_of_rows(png_header(WIDTH, HEIGHT, **header), raw, extra)


def rows_of(mask: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in mask)


def interlaced_rows(mask: np.ndarray) -> bytes:
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    parts = [mask[top::down, left::right] for top, left, down, right in (*passes, (1, 0, 2, 1))]
    return b"".join(rows_of(part) for part in parts if part.size)


MASK = random_mask(HEIGHT, WIDTH, (0, 1, 2, 255))
RGB = encoded(random_image(HEIGHT, WIDTH))
PNG_FILES = {
    "RGB": RGB,
    "transparent color": png_file(
        png_chunks(RGB)[0], (b"tRNS", bytes([0, 1, 0, 2, 0, 3])), *png_chunks(RGB)[1:]
    ),
    "palette": encoded(random_image(HEIGHT, WIDTH), "PNG", "P"),
    "grey": encoded(MASK),
    "interlaced": png(interlaced_rows(MASK), interlaced=1),
}
JPEG_FILES = {
    "4:4:4": encoded(smooth_image(), "JPEG", quality=95, subsampling=0),
    "4:2:0": encoded(smooth_image(), "JPEG", subsampling=2),
    "restarts": encoded(smooth_image(), "JPEG", restart_marker_blocks=1),
    "grey": encoded(smooth_image(), "JPEG", "L"),
    "CMYK": encoded(smooth_image(), "JPEG", "CMYK"),
}


def flipped(data: bytes, first: int, step: int = 1) -> Iterator[bytes]:
    """A bit at every offset, another one each time."""
    for offset in range(first, len(data), step):
        changed = bytearray(data)
        changed[offset] ^= 1 << (offset * 5 % 8)
        yield bytes(changed)


def shuffled(data: bytes, count: int) -> Iterator[bytes]:
    """Chunks repeated, left out, moved, cut, changed or invented; checksums are right."""
    rng = np.random.default_rng(0)
    kinds = [
        b"gAMA",
        b"sRGB",
        b"iCCP",
        b"tRNS",
        b"eXIf",
        b"PLTE",
        b"IDAT",
        b"IHDR",
        b"acTL",
        b"abCD",
    ]
    for _ in range(count):
        chunks = png_chunks(data)
        for _ in range(rng.integers(1, 3)):
            offset = int(rng.integers(len(chunks)))
            kind, content = chunks[offset]
            change = rng.integers(6)
            if change == 0 and len(chunks) > 1:
                del chunks[offset]
            elif change == 1:
                chunks.insert(int(rng.integers(len(chunks) + 1)), chunks[offset])
            elif change == 2:
                chunks = [chunks[index] for index in rng.permutation(len(chunks))]
            elif change == 3:
                invented = (kinds[rng.integers(len(kinds))], rng.bytes(int(rng.integers(33))))
                chunks.insert(int(rng.integers(1, len(chunks) + 1)), invented)
            elif change == 4 and content:
                changed = bytearray(content)
                changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
                chunks[offset] = (kind, bytes(changed))
            else:
                chunks[offset] = (kind, content[: rng.integers(len(content) + 1)])
        yield png_file(*chunks)


def refused_or_the_same(data: bytes, folder: Path) -> bool:
    """Whether a changed image is accepted; then TensorFlow must see what Pillow sees."""
    image = folder / "image.png"
    image.write_bytes(data)
    try:
        stored = read_image(image).data
    except DeepLabError:
        return False
    np.testing.assert_array_equal(decode_image(stored), read_pixels(image))
    return True


@pytest.mark.parametrize("name", PNG_FILES)
@pytest.mark.parametrize("read", [read_image, read_pixels])
def test_every_bit_of_a_png_image_counts(name: str, read: object, tmp_path: Path) -> None:
    data = PNG_FILES[name]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert callable(read)
    read(path)
    for changed in flipped(data, first=8):
        path.write_bytes(changed)
        with pytest.raises(DeepLabError):
            read(path)


@pytest.mark.parametrize("name", ["grey", "palette", "interlaced"])
def test_every_bit_of_a_mask_counts(name: str, tmp_path: Path) -> None:
    data = PNG_FILES[name]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    if name != "palette":
        np.testing.assert_array_equal(read_index_mask(path), MASK)
    for changed in flipped(data, first=0):
        path.write_bytes(changed)
        with pytest.raises(DeepLabError, match=r"(cannot read )?the mask .*a\.png"):
            read_index_mask(path)


@pytest.mark.parametrize("name", PNG_FILES)
def test_png_files_that_are_cut_anywhere_are_refused(name: str, tmp_path: Path) -> None:
    for length in range(len(PNG_FILES[name])):
        assert not refused_or_the_same(PNG_FILES[name][:length], tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about animations
@pytest.mark.parametrize("name", PNG_FILES)
def test_png_files_of_other_chunks_are_refused_or_the_same(name: str, tmp_path: Path) -> None:
    found = [refused_or_the_same(data, tmp_path) for data in shuffled(PNG_FILES[name], 200)]
    assert True in found and False in found


@pytest.mark.parametrize("name", JPEG_FILES)
def test_jpeg_files_that_are_cut_anywhere_are_refused(name: str, tmp_path: Path) -> None:
    for length in range(2, len(JPEG_FILES[name]), 3):
        assert not refused_or_the_same(JPEG_FILES[name][:length], tmp_path)


@pytest.mark.parametrize("name", JPEG_FILES)
def test_changed_jpeg_files_are_refused_or_the_same(name: str, tmp_path: Path) -> None:
    data = JPEG_FILES[name]
    found = [refused_or_the_same(changed, tmp_path) for changed in flipped(data, first=2, step=2)]
    assert True in found and False in found


UNSOUND = {
    "rows are missing": png(rows_of(MASK)[: 15 * 5]),
    "no end": png(rows_of(MASK))[:-12],
    "pixels are cut": png(rows_of(MASK))[:-30],
    "unknown chunk": png(rows_of(MASK), extra=[(b"ABCD", b"abc")]),
    "color type": png(rows_of(MASK), color_type=5),
    "way of interlacing": png(rows_of(MASK), interlaced=2),
    "not interlaced": png(rows_of(MASK), interlaced=1),
    "no header": png_file((b"IEND", b"")),
    "too wide": png_of_rows(png_header(1_000_001, 1), bytes(1_000_002)),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_unsound_png_files_are_refused_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(UNSOUND[name])
    readers = [read_index_mask, read_image]
    if name != "too wide":  # for TensorFlow alone
        readers.append(read_pixels)
    for read in readers:
        with pytest.raises(FileError, match=f"cannot read the (mask|image) {path}: .") as caught:
            read(path)
        assert caught.value.problem.kind == "unreadable"


PARTS = png_chunks(PNG_FILES["grey"])
PASSED_OVER = {
    "behind the pixels and the end": png(rows_of(MASK) + bytes(500)) + b"and more",
    "a palette of gray": png(rows_of(MASK), extra=[(b"PLTE", b"ab")]),
    "pixels in pieces": png_file(
        PARTS[0],
        *((b"IDAT", PARTS[1][1][start : start + 7]) for start in range(0, len(PARTS[1][1]), 7)),
        (b"IDAT", b""),
        PARTS[-1],
    ),
    "pixels without end": png(rows_of(MASK) + bytes(2**28)),
}


@pytest.mark.parametrize("name", PASSED_OVER)
def test_more_than_the_pixels_is_passed_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PASSED_OVER[name])
    np.testing.assert_array_equal(read_index_mask(tmp_path / "a.png"), MASK)


def test_images_of_four_channels(tmp_path: Path) -> None:
    data = encoded(np.dstack([random_image(HEIGHT, WIDTH), MASK]))
    assert decode_channels(data, tmp_path, 4).shape == (HEIGHT, WIDTH, 4)
    for changed in flipped(data, first=8, step=3):
        with pytest.raises(DeepLabError):
            decode_channels(changed, tmp_path, 4)


def test_a_jpeg_file_that_tensorflow_refuses_is_stored_as_png(tmp_path: Path) -> None:
    data = bytearray(JPEG_FILES["4:2:0"])
    offset = len(data) - 12
    data[offset : offset + 4] = b"\xff\xe3\xff\xff"  # a segment that goes on beyond the file
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(tf.constant(bytes(data)))
    stored = read_image(tmp_path / "a.jpg").data
    assert stored.startswith(b"\x89PNG")
    np.testing.assert_array_equal(decode_image(stored), read_pixels(tmp_path / "a.jpg"))


@pytest.mark.parametrize("name", ["images/train/p00.png", "labels/train/p00.png"])
@pytest.mark.parametrize("damage", ["no end", "one bit"])
def test_check_and_prepare_name_the_file(name: str, damage: str, tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source")
    data = (source / name).read_bytes()
    offset = data.index(b"IDAT") + 40
    bit = data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]
    (source / name).write_bytes(data[:-12] if damage == "no end" else bit)
    config = DataConfig(dataset="folder")
    arguments = {"data_dir": str(tmp_path / "data"), "source_dir": str(source)}
    (problem,) = check_named(config, silent=True, **arguments).problems
    assert (problem.kind, problem.file) == ("unreadable", source / name)
    with pytest.raises(DeepLabError, match=f"cannot read the .*{name}: ."):
        load_dataset("folder", **arguments)


def test_sound_masks_are_stored_as_they_are(tmp_path: Path) -> None:
    image = save(tmp_path / "i.png", random_image(HEIGHT, WIDTH))
    label = tmp_path / "l.png"
    label.write_bytes(PNG_FILES["interlaced"])
    features, _ = encoded_pair(Pair("a", image, label), RULE)
    np.testing.assert_array_equal(decode_label(features["label"]), MASK)
