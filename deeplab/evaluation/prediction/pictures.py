"""Pictures: read and written by threads, while the network works on another one."""

from __future__ import annotations

import collections
import concurrent.futures
import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from deeplab.data.files.pixels import read_pixels
from deeplab.data.files.problems import FileError
from deeplab.errors import DeepLabError
from deeplab.evaluation.prediction.saves import Result
from deeplab.evaluation.prediction.targets import Job
from deeplab.evaluation.prediction.work import Outcome, Work, failed
from deeplab.files import make_directory, write_bytes
from deeplab.runtimes.padding import TooLarge

# What file systems say of a name that they cannot hold; other errors come again at the next image.
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)

_THREADS = 2
_AHEAD = 2  # pictures that are read, or results that are written, at a time

Given = TypeVar("Given")
Made = TypeVar("Made")

Pixels = npt.NDArray[np.uint8]
Read = tuple[Job, Pixels | FileError]


def segment_pictures(jobs: Sequence[Job], work: Work) -> Iterator[Outcome]:
    """Segments pictures and writes the results; gives what became of each, in order."""
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        read = _ahead(pool, partial(_try_read, channels=work.channels), jobs, work.batch_size)
        yield from _ahead(pool, partial(_try_write, work=work), _see(read, work))


def _ahead(
    pool: concurrent.futures.Executor,
    function: Callable[[Given], Made],
    items: Iterable[Given],
    most: int = 0,
) -> Iterator[Made]:
    """Like `map`, in order, with a few items under way in the pool."""
    pending: collections.deque[concurrent.futures.Future[Made]] = collections.deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > max(most, _AHEAD):
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _see(items: Iterable[Read], work: Work) -> Iterator[tuple[Job, Result] | Outcome]:
    for batch in _of_one_size(items, work.batch_size):
        jobs = [job for job, _ in batch]
        pixels = [pixels for _, pixels in batch if not isinstance(pixels, FileError)]
        if not pixels:
            yield from (failed(job, error) for job, error in batch if isinstance(error, FileError))
            continue
        try:
            ids, probabilities = work.see(jobs[0].input.path, np.stack(pixels))
        except TooLarge as error:
            yield from (failed(job, error) for job in jobs)
            continue
        for index, job in enumerate(jobs):
            name = job.input.relative.as_posix() + job.input.path.suffix
            shares = None if probabilities is None else probabilities[index]
            yield job, Result(name, pixels[index], ids[index], shares)


def _of_one_size(items: Iterable[Read], most: int) -> Iterator[list[Read]]:
    """Neighbors of the same size, so many at most; what cannot be read stands alone."""
    batch: list[Read] = []
    for item in items:
        if batch and (
            len(batch) == most or _shape(item) is None or _shape(item) != _shape(batch[0])
        ):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _shape(item: Read) -> tuple[int, ...] | None:
    return None if isinstance(item[1], FileError) else item[1].shape


def _try_read(job: Job, *, channels: int) -> Read:
    try:
        return job, read_pixels(job.input.path, channels)
    except FileError as error:
        return job, error


def _try_write(item: tuple[Job, Result] | Outcome, *, work: Work) -> Outcome:
    """Writes the results of a picture, unless its name does not allow them."""
    if isinstance(item, Outcome):
        return item
    job, result = item
    try:
        _write(job.targets, result, work)
    except DeepLabError as error:
        reason = error.__cause__
        if isinstance(reason, OSError) and reason.errno in _BAD_NAME:
            return Outcome(job, False, ("no results of", str(error)))
        raise
    return Outcome(job, True)


def _write(targets: Sequence[Path], result: Result, work: Work) -> None:
    """Writes the files of a picture, or none of them."""
    written: list[Path] = []
    try:
        for target, save in zip(targets, work.saves, strict=True):
            make_directory(target.parent)
            write_bytes(target, save.encode(result, work.classes))
            written.append(target)
    except BaseException:
        for path in written:
            path.unlink()
        raise
