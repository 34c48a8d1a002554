"""`predict`: writes what a network sees in images, as masks and overlays."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import errno
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from deeplab.data.colors import Color, color_image, color_table, overlay
from deeplab.data.files.pixels import read_pixels
from deeplab.data.files.problems import FileError
from deeplab.errors import DeepLabError
from deeplab.evaluation.image_files import Input, find_images, summary
from deeplab.evaluation.subject import find_subject
from deeplab.files import make_directory, write_bytes
from deeplab.out_of_memory import explained, inference_advice
from deeplab.progress import track
from deeplab.runtimes.padding import TooLarge
from deeplab.runtimes.windows import make_windows, windowed

SUFFIXES = ("_index.png", "_color.png", "_overlay.png")

# What file systems say of a name that they cannot hold; other errors come again at the next image.
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)

# Images that are read, or results that are written, while the network works on another one.
_THREADS = 2
_AHEAD = 2

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclasses.dataclass(frozen=True)
class PredictSummary:
    """What became of the images.

    Attributes:
        written: the files that were written.
        failures: each image that could not be read or has a name that its results cannot have,
            and why.
    """

    written: tuple[Path, ...]
    failures: tuple[tuple[Path, str], ...]


def predict(
    *,
    inputs: Sequence[str | Path],
    output_dir: str | Path,
    model_dir: str | Path | None = None,
    saved_model: str | Path | None = None,
    litert: str | Path | None = None,
    onnx: str | Path | None = None,
    checkpoint: str = "latest",
    output_stride: int | None = None,
    eval_scales: Sequence[float] = (1.0,),
    flip: bool = False,
    window: tuple[int, int] | None = None,
    overlap: tuple[int, int] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> PredictSummary:
    """Segments images of any size.

    For each image three files are written below `output_dir`, named by the image's path below the
    input folder: `_index.png`, gray, the class ids (16 bit for more than 256 classes);
    `_color.png`, in the colors of the classes; `_overlay.png`, these laid over the image. An
    image that cannot be read, or whose name does not allow the longer ones, is named on standard
    error and passed over.

    Args:
        inputs: image files, folders and glob patterns. For a model of more than three channels
            .npy files of uint8 [H, W, C], and of four RGBA PNG files.
        output_dir: where the results go; made when the first one is written.
        model_dir: folder of the model; this or one of the next three.
        saved_model: folder of an exported SavedModel.
        litert: exported `.tflite` file. One of a fixed size takes no larger images without windows:
            they are named and passed over. It takes no scales.
        onnx: exported `.onnx` file. It and LiteRT files run without TensorFlow.
        checkpoint: "latest", "best", or the prefix of a checkpoint; of `model_dir` only.
        output_stride: 8, 16 or 32, None: as trained; of `model_dir` only.
        eval_scales: sizes at which each image is seen, as factors of its own; the probabilities
            are averaged.
        flip: whether each of them is seen mirrored as well.
        window: height and width in pixels of the windows that images are seen by, see
            `runtimes/windows.py`; None: whole.
        overlap: of neighboring windows, vertically and horizontally, in pixels; None: a quarter of
            the window.
        overwrite: whether results that exist are replaced.
        progress: whether to show how far it is on standard output.

    Returns:
        Which files were written and which images failed.

    Raises:
        DeepLabError: before anything is written: if there are no images, results would collide,
            exist already or replace an image, or the model cannot be used.
    """
    output_dir = Path(output_dir)
    subject = find_subject(
        model_dir=model_dir,
        saved_model=saved_model,
        litert=litert,
        onnx=onnx,
        checkpoint=checkpoint,
        output_stride=output_stride,
        eval_scales=eval_scales,
        flip=flip,
    )
    windows = make_windows(window, overlap, output_stride=subject.output_stride)
    colors, channels = subject.description.colors, subject.description.input_channels
    # What can be refused without the network, which takes its time, is refused first.
    images, passed_over = find_images(inputs, excluded=output_dir, channels=channels)
    if progress and passed_over:
        print(summary(passed_over), flush=True)
    _check_targets(images, output_dir, overwrite)
    predictor = subject.load()
    if windows is not None:
        predictor = windowed(predictor, windows)

    written: list[Path] = []
    failures: list[tuple[Path, str]] = []
    with (
        concurrent.futures.ThreadPoolExecutor(_THREADS) as pool,
        track("predicting", len(images), unit="images", silent=not progress) as reporter,
    ):

        def fail(image: Input, what: str, why: str) -> None:
            failures.append((image.path, why))
            print(f"{what} the image {image.path}: {why}", file=sys.stderr)
            reporter.advance()

        def results() -> Iterator[tuple[Input, _Result]]:
            for image, pixels in _ahead(pool, partial(_try_read, channels=channels), images):
                if isinstance(pixels, FileError):
                    fail(image, "cannot read", pixels.problem.detail)
                    continue
                size = "x".join(map(str, pixels.shape[:2]))
                try:
                    with explained(f"predicting {image.path} ({size} pixels)", inference_advice):
                        ids = predictor.labels(pixels[np.newaxis])[0]
                except TooLarge as error:
                    fail(image, "cannot segment", str(error))
                    continue
                yield image, _Result(pixels, ids, colors, _targets(image, output_dir))

        for image, paths in _ahead(pool, _try_write, results()):
            if isinstance(paths, DeepLabError):
                fail(image, "no results of", str(paths))
                continue
            written += paths
            reporter.advance()
    if progress:
        done = len(images) - len(failures)
        print(f"wrote {len(written)} files for {done} of {len(images)} images to {output_dir}")
    return PredictSummary(tuple(written), tuple(failures))


class _Result(NamedTuple):
    """What is known of one image: uint8 [H, W, C], class ids [H, W], and where they go."""

    pixels: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.int32]
    colors: Sequence[Color]
    targets: tuple[Path, Path, Path]


def _ahead(
    pool: concurrent.futures.Executor, function: Callable[[Given], Made], items: Iterable[Given]
) -> Iterator[Made]:
    """Like `map`, in order, with a few items under way in the pool."""
    pending: collections.deque[concurrent.futures.Future[Made]] = collections.deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > _AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _targets(image: Input, output_dir: Path) -> tuple[Path, Path, Path]:
    # Not with_suffix: a name may hold dots of its own.
    base = output_dir / image.relative
    index, color, blended = (base.with_name(base.name + suffix) for suffix in SUFFIXES)
    return index, color, blended


def _check_targets(images: Sequence[Input], output_dir: Path, overwrite: bool) -> None:
    """Refuses results that would collide, replace an image, or replace older results."""
    sources = {image.path.resolve() for image in images}
    owners: dict[Path, Path] = {}
    existing = []
    for image in images:
        for target in _targets(image, output_dir):
            other = owners.setdefault(target, image.path)
            if other != image.path:
                raise DeepLabError(f"{other} and {image.path} would both be written as {target}")
            if target.resolve() in sources:
                raise DeepLabError(
                    f"the result {target} of {image.path} would replace an image; give another "
                    "output_dir"
                )
            if os.path.exists(target):  # unlike Path's, also if the name is too long
                existing.append(target)
    if existing and not overwrite:
        raise DeepLabError(
            f"{len(existing)} results exist already, the first is {existing[0]}; use --overwrite "
            "or another folder"
        )


def _try_read(image: Input, *, channels: int) -> tuple[Input, npt.NDArray[np.uint8] | FileError]:
    """The pixels, or what is wrong with the file."""
    try:
        return image, read_pixels(image.path, channels)
    except FileError as error:
        return image, error


def _try_write(item: tuple[Input, _Result]) -> tuple[Input, tuple[Path, ...] | DeepLabError]:
    """The files that were written, or why an image's name does not allow them."""
    image, result = item
    try:
        return image, _write(result)
    except DeepLabError as error:
        reason = error.__cause__
        if isinstance(reason, OSError) and reason.errno in _BAD_NAME:
            return image, error
        raise


def _write(result: _Result) -> tuple[Path, ...]:
    """Writes the three files of an image, or none of them."""
    if len(result.colors) <= 256:
        ids = result.ids.astype(np.uint8)
        painted = Image.fromarray(ids)
        painted.putpalette(color_table(result.colors).tobytes())
    else:
        ids = result.ids.astype(np.uint16)
        painted = Image.fromarray(color_image(ids, result.colors))
    laid_over = overlay(result.pixels[..., :3], ids, result.colors)
    pictures = (Image.fromarray(ids), painted, Image.fromarray(laid_over))
    written: list[Path] = []
    try:
        for target, picture in zip(result.targets, pictures, strict=True):
            make_directory(target.parent)
            write_bytes(target, _png(picture))
            written.append(target)
    except BaseException:
        for path in written:
            path.unlink()
        raise
    return result.targets


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
