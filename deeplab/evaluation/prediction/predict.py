"""`predict`: writes what a network sees in images, as masks and overlays."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from deeplab.errors import DeepLabError
from deeplab.evaluation.prediction.inputs import Input, find_images, summary
from deeplab.evaluation.prediction.pictures import segment_pictures
from deeplab.evaluation.prediction.rasters import is_raster
from deeplab.evaluation.prediction.saves import DEFAULT_SAVES, Classes, Medium, choose_saves
from deeplab.evaluation.prediction.streaming import segment_raster, segment_video
from deeplab.evaluation.prediction.targets import Job, make_job, unfinished
from deeplab.evaluation.prediction.videos import is_video
from deeplab.evaluation.prediction.work import Outcome, Work
from deeplab.evaluation.subject import find_subject
from deeplab.progress import track
from deeplab.runtimes.windows import check_windows, make_windows


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
    save: Iterable[str] = DEFAULT_SAVES,
    batch_size: int = 1,
    overwrite: bool = False,
    skip_existing: bool = False,
    progress: bool = True,
) -> PredictSummary:
    """Segments images of any size, rasters and videos.

    For each image files are written below `output_dir`, named by the image's path below the input
    folder: by default `_index.png`, gray, the class ids (16 bit for more than 256 classes);
    `_color.png`, in the colors of the classes; `_overlay.png`, these laid over the image. An
    image that cannot be read, or whose name does not allow the longer ones, is named on standard
    error and passed over.

    A TIFF file with a georeference, and with windows any TIFF file, becomes TIFF files of the same
    place; with windows it is read and written by bands. A video becomes videos of the same frame
    rate: `_color.mp4` and `_overlay.mp4`, and without loss `_index.mkv`. One that ends too early
    fails, and what was there of it is written.

    Args:
        inputs: image and video files, folders of images and glob patterns. For a model of more
            than three channels .npy files of uint8 [H, W, C], rasters of as many bands, and of four
            RGBA PNG files.
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
        save: the kinds of results, of "index", "color", "overlay"; "cityscapes_ids" and
            "voc_palette", what the servers of these benchmarks take; "probabilities", float16
            [H, W, C] in .npz files; "coco", a COCO data set of one image with a segment for each
            of its classes.
        batch_size: how many neighboring images of one size are seen at once, 1 or more.
        overwrite: whether results that exist are replaced.
        skip_existing: whether images all of whose results exist are left out.
        progress: whether to show how far it is on standard output.

    Returns:
        Which files were written and which images failed.

    Raises:
        DeepLabError: before anything is written: if there are no images, results would collide,
            exist already or replace an image, or the model cannot be used.
    """
    output_dir = Path(output_dir)
    if overwrite and skip_existing:
        raise DeepLabError("overwrite and skip_existing contradict each other: give one of them")
    if batch_size < 1:
        raise DeepLabError(f"batch_size must be 1 or more, got {batch_size}")
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
    description = subject.description
    classes = Classes(description.class_names, description.colors)
    saves = choose_saves(save, classes)
    # What can be refused without the network, which takes its time, is refused first.
    channels = description.input_channels
    images, passed_over = find_images(inputs, excluded=output_dir, channels=channels)
    if progress and passed_over:
        print(summary(passed_over), flush=True)
    found = [
        make_job(image, _medium(image, by_bands=windows is not None), saves, output_dir)
        for image in images
    ]
    jobs = unfinished(found, overwrite=overwrite, skip_existing=skip_existing)
    if progress and len(jobs) < len(found):
        print(f"skipped {len(found) - len(jobs)} of {len(found)} images, which are finished")
    if not jobs:
        return PredictSummary((), ())
    work = Work(subject.load(), windows, channels, classes, saves, batch_size)
    if windows is not None:
        check_windows(work.network, windows)

    written: list[Path] = []
    failures: list[tuple[Path, str]] = []
    with track("predicting", len(jobs), unit="images", silent=not progress) as reporter:
        for outcome in _segment(jobs, work):
            path = outcome.job.input.path
            if outcome.complaint is not None:
                what, why = outcome.complaint
                failures.append((path, why))
                print(f"{what} the {_NAMES[outcome.job.medium]} {path}: {why}", file=sys.stderr)
            if outcome.remark is not None and progress:
                reporter.message(outcome.remark)
            if outcome.is_written:
                written += outcome.job.targets
            reporter.advance()
    if progress:
        done = len(jobs) - len(failures)
        print(f"wrote {len(written)} files for {done} of {len(jobs)} images to {output_dir}")
    return PredictSummary(tuple(written), tuple(failures))


# What a medium is called in complaints.
_NAMES: dict[Medium, str] = {"picture": "image", "raster": "image", "video": "video"}


def _medium(image: Input, *, by_bands: bool) -> Medium:
    if is_video(image.path):
        return "video"
    return "raster" if is_raster(image.path, by_bands=by_bands) else "picture"


def _segment(jobs: Sequence[Job], work: Work) -> Iterator[Outcome]:
    def of(medium: Medium) -> list[Job]:
        return [job for job in jobs if job.medium == medium]

    yield from segment_pictures(of("picture"), work)
    yield from (segment_raster(job, work) for job in of("raster"))
    yield from (segment_video(job, work) for job in of("video"))
