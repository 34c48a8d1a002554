"""Rasters by bands and videos by frames: read, seen and written part by part."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from deeplab.data.files.problems import FileError
from deeplab.evaluation.prediction.rasters import new_raster, open_raster
from deeplab.evaluation.prediction.saves import Painting, Result
from deeplab.evaluation.prediction.targets import Job
from deeplab.evaluation.prediction.videos import new_video, open_video
from deeplab.evaluation.prediction.work import Outcome, Work, failed
from deeplab.files import make_directory, new_file
from deeplab.out_of_memory import explained, inference_advice
from deeplab.runtimes.padding import TooLarge
from deeplab.runtimes.runtime import ClassIds
from deeplab.runtimes.windows import Windows, label_bands

Item = TypeVar("Item")

# Writes a part: where it belongs, and what it shows.
WritePart = Callable[[Any, Painting], None]


def segment_raster(job: Job, work: Work) -> Outcome:
    """Segments a raster band by band; it and its results are never held as a whole."""
    path = job.input.path
    try:
        with (
            open_raster(path, work.channels, whole=work.windows is None) as raster,
            contextlib.ExitStack() as stack,
            explained(f"predicting {path}", inference_advice),
        ):
            size = raster.height, raster.width
            bands = label_bands(work.network, raster.read, *size, work.windows or Windows(size))
            writers: list[WritePart] = []
            top = 0
            for ids, rows in _with_next_row(bands):
                # Outlines depend on the row below.
                result = Result(path.name, raster.read(top, len(ids))[0], ids)
                paintings = [painting.upper(rows) for painting in _paint(result, work)]
                writers = writers or [
                    stack.enter_context(new_raster(file, raster, first))
                    for file, first in zip(_new_files(job, stack), paintings, strict=True)
                ]
                for write, painting in zip(writers, paintings, strict=True):
                    write(top, painting)
                top += rows
    except (FileError, TooLarge) as error:
        return failed(job, error)
    remark = None if raster.place else f"{path} has no georeference, nor have its results"
    return Outcome(job, True, remark=remark)


def segment_video(job: Job, work: Work) -> Outcome:
    """Segments a video frame by frame. Of one that ends too early, what was there is written."""
    path = job.input.path
    writers: list[WritePart] = []
    try:
        with open_video(path) as video, contextlib.ExitStack() as stack:
            frames, damage = _batches(video.frames, work.batch_size), None
            while True:
                try:
                    batch = next(frames, None)
                except FileError as error:
                    batch, damage = None, error
                if batch is None:
                    break
                ids, _ = work.see(path, np.stack([frame.pixels for frame in batch]))
                for frame, frame_ids in zip(batch, ids, strict=True):
                    paintings = _paint(Result(path.name, frame.pixels, frame_ids), work)
                    writers = writers or [
                        stack.enter_context(new_video(file, target.suffix, video, first))
                        for file, target, first in zip(
                            _new_files(job, stack), job.targets, paintings, strict=True
                        )
                    ]
                    for write, painting in zip(writers, paintings, strict=True):
                        write(frame.time, painting)
    except (FileError, TooLarge) as error:
        return failed(job, error)
    if damage is not None:
        return failed(job, damage, is_written=bool(writers))
    return Outcome(job, True)


def _paint(result: Result, work: Work) -> list[Painting]:
    paints = [save.paint for save in work.saves]
    return [paint(result, work.classes) for paint in paints if paint is not None]


def _with_next_row(bands: Iterable[ClassIds]) -> Iterator[tuple[npt.NDArray[np.int32], int]]:
    """Bands of one image with the first row of the next, and how many rows there are without it."""
    held: npt.NDArray[np.int32] | None = None
    for (ids,) in bands:
        if held is not None:
            yield np.concatenate([held, ids[:1]]), len(held)
        held = ids
    if held is not None:
        yield held, len(held)


def _new_files(job: Job, stack: contextlib.ExitStack) -> Iterator[Any]:
    """Temporary files that get the names of the results when the stack ends without an error."""
    for target in job.targets:
        make_directory(target.parent)
        yield stack.enter_context(new_file(target))


def _batches(items: Iterator[Item], size: int) -> Iterator[Sequence[Item]]:
    """So many items at a time; those before an error come before it."""
    batch: list[Item] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except FileError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
