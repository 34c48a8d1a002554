"""Very large images are refused by their header, without decoding and without warnings."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from image_bytes import empty_png
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from source_folders import random_image, random_mask, save

from deeplab.data.files.decode import decode_image
from deeplab.data.files.images import read_image
from deeplab.data.files.masks import read_index_mask
from deeplab.data.files.opening import MAX_PIXELS, TooLarge, open_image
from deeplab.data.files.pixels import read_pixels
from deeplab.errors import DeepLabError


def test_the_limit_is_exact() -> None:
    with open_image(empty_png(2**14, 2**14)) as image:
        assert image.size == (2**14, 2**14) and MAX_PIXELS == 2**28
    with pytest.raises(TooLarge, match=r"16385x16384 pixels \(width x height\).*268435456"):
        open_image(empty_png(2**14 + 1, 2**14))


def test_the_limit_of_other_users_of_pillow_stays() -> None:
    before = Image.MAX_IMAGE_PIXELS
    assert before is not None and before < MAX_PIXELS
    with pytest.raises(OSError):
        open_image(b"no image")
    open_image(empty_png(9, 9)).close()
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("read", [read_image, read_index_mask, read_pixels])
def test_every_reader_gives_the_size(read: object, tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(empty_png(60000, 50000))
    assert callable(read)
    with pytest.raises(DeepLabError, match="it has 60000x50000 pixels"):
        read(path)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    mask = random_mask(6, 7)
    Image.fromarray(mask).convert("P").save(tmp_path / "a.png", transparency=bytes(range(256)))
    decoded = decode_image(read_image(tmp_path / "a.png").data)
    for pixels in (decoded, read_pixels(tmp_path / "a.png")):
        np.testing.assert_array_equal(pixels, np.repeat(mask[..., None], 3, axis=-1))


@pytest.mark.parametrize("kind", ["text", "text behind", "profile"])
def test_large_metadata_is_accepted_up_to_a_bound(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"

    def write(size: int) -> None:
        chunks = PngInfo()
        chunks.add(b"zTXt", b"k\0\0" + zlib.compress(bytes(size)), after_idat=kind[-1] == "d")
        image = Image.fromarray(random_mask(6, 7))
        if kind == "profile":
            image.save(path, icc_profile=bytes(size))
        else:
            image.save(path, pnginfo=chunks)

    write(3_000_000)
    assert read_index_mask(path).tolist() == random_mask(6, 7).tolist()
    assert read_pixels(path)[..., 0].tolist() == random_mask(6, 7).tolist()
    encoded = read_image(path)
    assert tf.io.decode_png(encoded.data)[..., 0].numpy().tolist() == random_mask(6, 7).tolist()
    write(65 << 20)
    for read in (read_index_mask, read_pixels, read_image):
        with pytest.raises(DeepLabError, match="more than 64 MB of metadata"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG"])
def test_empty_and_cut_files_are_told(content: bytes, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", random_image(6, 7))
    path.write_bytes(content)
    reason = "empty" if not content else "not an image of a known format"
    with pytest.raises(DeepLabError, match=f"cannot read the image .*a.png: .*{reason}"):
        read_image(path)
