"""`predict`: which images it finds, what it writes, and what it refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from color_export import COLOR_CLASSES, export_of
from image_bytes import orientation
from model_dirs import COLORS, TINY, make_model_dir
from PIL import Image
from source_folders import random_image, save

import deeplab
from deeplab.data.colors import overlay
from deeplab.data.files.pixels import read_pixels
from deeplab.errors import DeepLabError
from deeplab.evaluation import label_function
from deeplab.evaluation.prediction.inputs import find_images, summary

SUFFIXES = ("_index.png", "_color.png", "_overlay.png")


def opened(path: Path) -> Image.Image:
    """An image whose file is closed again."""
    with Image.open(path) as image:
        image.load()
        return image


def written_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def found(inputs: Sequence[str | Path], base: Path, **settings: Any) -> list[tuple[str, str]]:
    images, _ = find_images(inputs, **settings)
    return [(str(i.path.relative_to(base)), str(i.relative)) for i in images]


def test_files_that_are_written(color_export: Path, tmp_path: Path):
    photo = random_image(12, 17)
    save(tmp_path / "photos" / "trip" / "sea.v2.png", photo)
    output = tmp_path / "out"
    summary = deeplab.predict(
        saved_model=color_export,
        inputs=[tmp_path / "photos"],
        output_dir=output,
        progress=False,
    )
    assert summary.failures == ()
    assert [path.relative_to(output).as_posix() for path in summary.written] == [
        "trip/sea.v2_index.png",
        "trip/sea.v2_color.png",
        "trip/sea.v2_overlay.png",
    ]
    assert len(written_below(output)) == 3
    ids = photo.argmax(axis=-1)
    index, color, blended = map(opened, summary.written)
    assert index.mode == "L"
    assert np.array_equal(index, ids)
    assert np.array_equal(color.convert("RGB"), np.array(COLOR_CLASSES)[ids])
    assert np.array_equal(blended, overlay(photo, ids, COLOR_CLASSES))


@pytest.mark.slow
def test_a_model_folder_predicts_what_the_model_does(tmp_path: Path):
    model = make_model_dir(tmp_path / "run", **TINY)
    photo = random_image(40, 33)
    file = save(tmp_path / "photo.png", photo)
    deeplab.predict(
        model_dir=tmp_path / "run",
        inputs=[str(file)],
        output_dir=tmp_path / "out",
        flip=True,
        progress=False,
    )
    expected = label_function(model, flip=True)(tf.constant(photo[None], tf.float32))[0]
    assert len(np.unique(expected)) > 1
    assert np.array_equal(opened(tmp_path / "out" / "photo_index.png"), expected)
    colors = np.asarray(opened(tmp_path / "out" / "photo_color.png").convert("RGB"))
    assert np.array_equal(colors, np.array(COLORS)[expected])


def test_probabilities_and_masks_of_the_same_images(color_export: Path, tmp_path: Path):
    photo = random_image(9, 13)
    save(tmp_path / "photo.png", photo)
    for window in (None, (5, 6)):
        deeplab.predict(
            saved_model=color_export,
            inputs=[tmp_path / "photo.png"],
            output_dir=tmp_path / "out",
            save=("probabilities", "index"),
            window=window,
            overwrite=True,
            progress=False,
        )
        assert written_below(tmp_path / "out") == ["photo_index.png", "photo_probabilities.npz"]
        with np.load(tmp_path / "out" / "photo_probabilities.npz") as stored:
            found = stored["probabilities"]
        expected = tf.nn.softmax(tf.cast(photo, tf.float32)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert np.array_equal(opened(tmp_path / "out" / "photo_index.png"), expected.argmax(-1))


def test_scales_and_flip_work_on_an_export(color_export: Path, tmp_path: Path):
    photo = np.zeros((9, 13, 3), np.uint8)
    photo[:, :6, 2] = photo[:, 6:, 1] = 200
    save(tmp_path / "photo.png", photo)
    deeplab.predict(
        saved_model=color_export,
        inputs=[tmp_path / "photo.png"],
        output_dir=tmp_path / "out",
        eval_scales=(0.5, 2.0),
        flip=True,
        progress=False,
    )
    ids = np.asarray(opened(tmp_path / "out" / "photo_index.png"))
    assert (ids[:, :5] == 2).all() and (ids[:, 7:] == 1).all()


def test_more_than_256_classes_make_16_bit_masks(tmp_path: Path):
    ids = np.arange(600).reshape(20, 30)
    colors = [(i % 256, i // 256, 7) for i in range(600)]
    # The image is painted in the colors of its classes.
    export = export_of(
        lambda images: tf.one_hot(tf.cast(images[..., 0] + 256 * images[..., 1], tf.int32), 600),
        tmp_path / "export",
        colors,
    )
    photo = save(tmp_path / "x.png", np.array(colors, np.uint8)[ids])
    result = deeplab.predict(
        saved_model=export, inputs=[photo], output_dir=tmp_path / "out", progress=False
    )
    index, color, _ = map(opened, result.written)
    assert index.mode == "I;16"
    assert np.array_equal(index, ids)
    assert np.array_equal(color.convert("RGB"), np.array(colors)[ids])


def test_images_are_found_in_files_folders_and_patterns(tmp_path: Path):
    for name in ("b.PNG", "a.jpg", "sub/deep/c.tiff", "sub/d.jpeg", "notes.txt", ".e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    everything = [
        ("a.jpg", "a"),
        ("b.PNG", "b"),
        ("sub/d.jpeg", "sub/d"),
        ("sub/deep/c.tiff", "sub/deep/c"),
    ]
    assert found([tmp_path], tmp_path) == everything
    assert found([f"{tmp_path}/**"], tmp_path) == everything
    assert found([f"{tmp_path}/s*/*.jpeg"], tmp_path) == [("sub/d.jpeg", "sub/d")]
    assert found([f"{tmp_path}/s*"], tmp_path) == everything[2:]
    assert found([tmp_path / "notes.txt"], tmp_path) == [("notes.txt", "notes")]
    # Once, although two inputs name it.
    assert found([tmp_path / "a.jpg", f"{tmp_path}/a*"], tmp_path) == [("a.jpg", "a")]


def test_links_are_followed_and_circles_are_not(tmp_path: Path):
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for name in ("photos/a.png", "elsewhere/deep/b.png", "elsewhere/out/b_index.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (photos / "linked").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "circle").symlink_to(photos, target_is_directory=True)
    (photos / "c.png").symlink_to(elsewhere / "deep" / "b.png")
    images = [
        ("photos/a.png", "a"),
        ("photos/c.png", "c"),
        ("photos/linked/deep/b.png", "linked/deep/b"),
    ]
    # Results are no images, whatever link leads to them.
    assert found([photos], tmp_path, excluded=elsewhere / "out") == images


def test_whatever_pillow_decodes_is_an_image_and_the_rest_is_counted(tmp_path: Path):
    pixels = Image.fromarray(random_image(8, 9))
    decoded = [".JFIF", ".jpe", ".jp2", ".ppm", ".tga"]
    if ".avif" in Image.registered_extensions():
        decoded.append(".avif")
    for suffix in decoded:
        pixels.save(tmp_path / f"x{suffix}")
    others = ("a.heic", "b.HEIC", "notes.txt", "film.mpg", "figure.eps", "README")
    for name in (*others, ".hidden.txt"):
        (tmp_path / name).touch()
    images, passed_over = find_images([tmp_path, f"{tmp_path}/*"])
    assert {image.path.suffix for image in images} == set(decoded)
    for image in images:
        assert read_pixels(image.path).shape == (8, 9, 3)
    assert {path.name for path in passed_over} == set(others)
    line = summary(passed_over)
    assert line.startswith("passed over 6 files: .heic 2 (no decoder), ")
    assert set(line.split(": ")[1].split(", ")[1:]) == {
        ".txt 1",
        ".mpg 1",
        ".eps 1",
        "no extension 1",
    }
    # A plug-in of Pillow brings its decoder along.
    with pytest.MonkeyPatch.context() as plugin:
        plugin.setitem(Image.EXTENSION, ".heic", "HEIF")
        plugin.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])
        images, _ = find_images([tmp_path / "*.[hH]*"])
    assert [image.path.name for image in images] == ["a.heic", "b.HEIC"]


def test_a_name_with_brackets_is_no_pattern(tmp_path: Path):
    (tmp_path / "scan[1].png").touch()
    assert found([tmp_path / "scan[1].png"], tmp_path) == [("scan[1].png", "scan[1]")]


def test_results_below_the_images_are_no_images(tmp_path: Path):
    for name in ("a.png", "masks/a_index.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for given in (str(tmp_path), f"{tmp_path}/**"):
        assert found([given], tmp_path, excluded=tmp_path / "masks") == [("a.png", "a")]
    # Who names the folder means it.
    inside, _ = find_images([tmp_path / "masks"], excluded=tmp_path / "masks")
    assert [str(image.relative) for image in inside] == ["a_index"]


@pytest.mark.parametrize("given", ["missing", "empty", "*.png"])
def test_nothing_to_do_is_an_error(tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeepLabError, match="no (images|file)"):
        find_images([given])
    (tmp_path / "empty" / "x.heic").touch()
    with pytest.raises(DeepLabError, match=r"empty: .*\.heic 1"):
        find_images(["empty"])


@pytest.fixture
def refused(color_export: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Asks for a refusal, which comes before the network is loaded."""
    monkeypatch.setattr("deeplab.runtimes.inference.open_runtime", None)

    def refused(message: str, **settings: Any) -> None:
        with pytest.raises(DeepLabError, match=message):
            deeplab.predict(saved_model=color_export, progress=False, **settings)

    return refused


def test_colliding_names_are_refused(refused: Callable[..., None], tmp_path: Path):
    for name in ("one/x.png", "two/x.png", "three/y.png", "three/y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    output = tmp_path / "out"
    refused(
        r"one/x\.png and .*two/x\.png would both be written as .*out/x_index\.png",
        inputs=[tmp_path / "one", tmp_path / "two"],
        output_dir=output,
    )
    refused(r"y\.jpg and .*y\.png would both", inputs=[tmp_path / "three"], output_dir=output)
    assert not output.exists()


def test_an_image_is_never_replaced(refused: Callable[..., None], tmp_path: Path):
    (tmp_path / "x.png").touch()
    (tmp_path / "x_index.png").touch()
    refused(
        r"the result .*x_index\.png of .*x\.png would replace an image",
        inputs=[tmp_path],
        output_dir=tmp_path,
        overwrite=True,
    )


def test_existing_results_need_overwrite(color_export: Path, tmp_path: Path):
    photo = save(tmp_path / "x.png", random_image(5, 6))
    output = tmp_path / "out"
    output.mkdir()
    (output / "x_color.png").write_text("old")
    settings: dict[str, Any] = {"inputs": [photo], "output_dir": output}
    message = r"1 results exist already, the first is .*x_color\.png; use --overwrite, --skip"
    with pytest.raises(DeepLabError, match=message):
        deeplab.predict(saved_model=color_export, progress=False, **settings)
    assert written_below(output) == ["x_color.png"]
    deeplab.predict(saved_model=color_export, overwrite=True, progress=False, **settings)
    assert opened(output / "x_color.png").size == (6, 5)


def test_finished_images_are_skipped(color_export: Path, tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / "photos" / f"{name}.png", random_image(5, 6))
    output = tmp_path / "out"
    settings: dict[str, Any] = {"saved_model": color_export, "inputs": [tmp_path / "photos"]}
    settings |= {"output_dir": output, "skip_existing": True, "progress": False}
    deeplab.predict(**settings)
    (output / "b_color.png").unlink()  # as if it had been interrupted
    (output / "a_index.png").write_text("old")
    again = deeplab.predict(**settings)
    assert {path.name for path in again.written} == {f"b{suffix}" for suffix in SUFFIXES}
    assert (output / "a_index.png").read_text() == "old"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deeplab.runtimes.inference.open_runtime", None)  # nothing is loaded
        assert deeplab.predict(**settings).written == ()
    with pytest.raises(DeepLabError, match="overwrite and skip_existing contradict"):
        deeplab.predict(**settings, overwrite=True)


def test_neighbors_of_one_size_are_seen_at_once(tmp_path: Path) -> None:
    batches: list[int] = []

    def count(images: tf.Tensor) -> tf.Tensor:
        tf.py_function(lambda size: batches.append(int(size)), [tf.shape(images)[0]], [])
        return images

    export = export_of(count, tmp_path / "export", COLOR_CLASSES)
    photos = {}
    for index, size in enumerate([(5, 6), (5, 6), (5, 6), (6, 5), (5, 6)]):
        photos[f"{index}"] = random_image(*size)
        save(tmp_path / "photos" / f"{index}.png", photos[f"{index}"])
    (tmp_path / "photos" / "0b.png").touch()
    result = deeplab.predict(
        saved_model=export,
        inputs=[tmp_path / "photos"],
        output_dir=tmp_path / "out",
        save=["index"],
        batch_size=2,
        progress=False,
    )
    assert batches == [1, 2, 1, 1]  # what cannot be read stands between the first two
    assert [path.name for path, _ in result.failures] == ["0b.png"]
    for path, photo in zip(result.written, photos.values(), strict=True):
        assert np.array_equal(opened(path), photo.argmax(axis=-1))


def test_unreadable_images_are_named_and_skipped(
    color_export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    photos = tmp_path / "photos"
    good = save(photos / "good.png", random_image(30, 40))
    (photos / "cut.png").write_bytes(good.read_bytes()[:900])
    (photos / "text.jpg").write_text("not an image")
    (photos / "empty.png").touch()
    summary = deeplab.predict(
        saved_model=color_export, inputs=[photos], output_dir=tmp_path / "out"
    )
    assert [path.name for path, _ in summary.failures] == ["cut.png", "empty.png", "text.jpg"]
    assert [path.name for path in summary.written] == [
        "good_index.png",
        "good_color.png",
        "good_overlay.png",
    ]
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"cannot read the image {photos / name}" for name in ("cut.png", "empty.png", "text.jpg")
    ]
    assert "wrote 3 files for 1 of 4 images" in output.out


def test_a_name_that_the_results_cannot_have_fails_alone(
    color_export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    photos = tmp_path / "photos"
    limit = os.pathconf(tmp_path, "PC_NAME_MAX")
    # The first has no room for "_index.png", the second for "_overlay.png" alone.
    lengths = [limit - len(suffix) for suffix in (".png", "_index.png", "_overlay.png")]
    names = [letter * length for letter, length in zip("abc", lengths, strict=True)]
    for name in (*names, "d"):
        save(photos / f"{name}.png", random_image(5, 6))
    (photos / "notes.txt").touch()
    result = deeplab.predict(saved_model=color_export, inputs=[photos], output_dir=tmp_path / "out")
    assert [path for path, _ in result.failures] == [photos / f"{n}.png" for n in names[:2]]
    assert written_below(tmp_path / "out") == sorted(
        f"{name}{suffix}" for name in (names[2], "d") for suffix in SUFFIXES
    )
    output = capsys.readouterr()
    for line, name in zip(output.err.splitlines(), names[:2], strict=True):
        assert f"{photos / name}.png: " in line and "too long" in line
    assert "passed over 1 file: .txt 1" in output.out
    assert "for 2 of 4 images" in output.out


def test_a_full_disk_stops_and_leaves_no_part_of_an_image(
    color_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def replace(source: str, target: Path) -> None:
        if "overlay" in target.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        Path(source).rename(target)

    photo = save(tmp_path / "x.png", random_image(5, 6))
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(DeepLabError, match=r"x_overlay\.png: No space left"):
        deeplab.predict(
            saved_model=color_export, inputs=[photo], output_dir=tmp_path / "out", progress=False
        )
    assert written_below(tmp_path / "out") == []


def test_nothing_readable_makes_no_folder(color_export: Path, tmp_path: Path):
    (tmp_path / "x.png").touch()
    summary = deeplab.predict(
        saved_model=color_export,
        inputs=[tmp_path / "x.png"],
        output_dir=tmp_path / "out",
        progress=False,
    )
    assert len(summary.failures) == 1
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_made(color_export: Path, tmp_path: Path):
    photo = save(tmp_path / "x.png", random_image(5, 6))
    (tmp_path / "file").touch()
    with pytest.raises(DeepLabError, match="cannot make the folder"):
        deeplab.predict(
            saved_model=color_export,
            inputs=[photo],
            output_dir=tmp_path / "file" / "out",
            progress=False,
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of them alone"),
        ({"saved_model": "x", "model_dir": "y"}, "one of them alone"),
        ({"saved_model": "x", "onnx": "y"}, "give one of saved_model and onnx"),
        ({"saved_model": "x", "output_stride": 8}, "output_stride 8 needs a model_dir"),
        ({"saved_model": "x", "checkpoint": "best"}, "checkpoint best needs a model_dir"),
        ({"saved_model": "x"}, r"x is no SavedModel: it has no saved_model\.pb"),
        ({"model_dir": "x"}, "x is not a model folder"),
        ({"onnx": "x"}, "there is no file x"),
        ({"litert": "x"}, "x cannot be read: No such file"),
        ({"model_dir": "x", "eval_scales": ()}, "eval_scales"),
    ],
)
def test_models_that_cannot_be_used(tmp_path: Path, settings: dict[str, Any], message: str):
    photo = save(tmp_path / "x.png", random_image(5, 6))
    with pytest.raises(DeepLabError, match=message):
        deeplab.predict(inputs=[photo], output_dir=tmp_path / "out", progress=False, **settings)
    assert not (tmp_path / "out").exists()


def test_a_saved_model_of_somebody_else(tmp_path: Path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "foreign"))
    photo = save(tmp_path / "x.png", random_image(5, 6))
    with pytest.raises(DeepLabError, match="is no export of deeplab: cannot read .*metadata.json"):
        deeplab.predict(
            saved_model=tmp_path / "foreign",
            inputs=[photo],
            output_dir=tmp_path / "out",
            progress=False,
        )


GRAY = np.array([[0, 10], [100, 255]], np.uint8)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("L", GRAY),
        ("LA", GRAY),
        ("RGBA", GRAY),
        ("P", GRAY),
        ("1", np.array([[0, 0], [0, 255]])),
        ("CMYK", GRAY),
    ],
)
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str, expected: np.ndarray):
    image = Image.fromarray(GRAY)
    if mode == "1":
        image = image.point(lambda level: 255 if level > 128 else 0)
    path = tmp_path / "x.tiff"
    image.convert("RGB" if mode in ("RGBA", "CMYK") else "L").convert(mode).save(path)
    assert opened(path).mode == mode
    assert np.array_equal(read_pixels(path), np.repeat(expected[..., None], 3, axis=-1))


def test_16_bit_gray_keeps_its_range(tmp_path: Path):
    path = tmp_path / "x.png"
    Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save(path)
    assert read_pixels(path)[..., 0].tolist() == [[0, 1, 128, 255]]


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383])
@pytest.mark.parametrize("end", ["png", "tif"])
def test_fewer_bits_in_16_are_refused(tmp_path: Path, end: str, top: int):
    path = tmp_path / f"x.{end}"
    Image.fromarray(np.array([[0, 17, top]], np.uint16)).save(path)
    with pytest.raises(DeepLabError, match=f"no level above {top} of 65535.*convert it to 8 bits"):
        read_pixels(path)
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(path)  # black, whatever is white
    assert not read_pixels(path).any()


def test_floating_point_images_are_refused(tmp_path: Path):
    path = tmp_path / "x.tiff"
    Image.fromarray(np.zeros((2, 2), np.float32)).save(path)
    with pytest.raises(DeepLabError, match="mode F"):
        read_pixels(path)


def test_the_orientation_of_a_photo_is_applied(tmp_path: Path):
    photo = random_image(8, 12)
    Image.fromarray(photo).save(tmp_path / "x.png", exif=orientation(6))
    assert np.array_equal(read_pixels(tmp_path / "x.png"), np.rot90(photo, -1))
