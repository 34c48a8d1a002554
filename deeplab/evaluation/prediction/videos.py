"""Videos, frame by frame, read and written by FFmpeg's libraries through PyAV."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deeplab.data.files.problems import FileError, Problem
from deeplab.evaluation.prediction.saves import Painting
from deeplab.extras import needs_extra

_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")

# Extension of a file -> its container and codec. What is seen by people may lose a little, numbers
# may not.
_FORMATS = {".mp4": ("mp4", "h264"), ".mkv": ("matroska", "ffv1")}
# Dimensions and type of an array -> what FFmpeg calls such pixels.
_PIXELS = {(3, "uint8"): "rgb24", (2, "uint8"): "gray", (2, "uint16"): "gray16le"}
_UNITS = 512  # of time, between two frames: of variable rates not every frame is on the beat
_SECONDS = 1_000_000  # in what FFmpeg counts the duration of files


def is_video(path: Path) -> bool:
    """Whether a file is taken for a video."""
    return path.suffix.lower() in _SUFFIXES


class Frame(NamedTuple):
    """A picture of a video.

    Attributes:
        pixels: uint8 [H, W, 3], upright.
        time: when it is shown, in seconds from the first one.
    """

    pixels: npt.NDArray[np.uint8]
    time: Fraction


class Video(NamedTuple):
    """A video that is open.

    Attributes:
        rate: frames per second.
        frames: in order; they end with a FileError if the file ends too early.
    """

    rate: Fraction
    frames: Iterator[Frame]


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """Opens a video.

    Raises:
        FileError: if it is none.
        DeepLabError: if PyAV is not installed.
    """
    with needs_extra("video", f"reading {path}"):
        import av
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(av.open(str(path)))
            stream = file.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            raise _refused(path, f"not a video that can be read ({error})") from error
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise _refused(path, "not a video that can be read (it has no frame rate)")
        yield Video(rate, _frames(path, file, stream, rate))


def _frames(path: Path, file: Any, stream: Any, rate: Fraction) -> Iterator[Frame]:
    import av

    count, start, time = 0, None, Fraction(0)
    complaint: str | None = None
    try:
        for packet in file.demux(stream):
            frames = packet.decode()
            # Decoders make something up for what is missing.
            if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                complaint = "a part of a frame is missing"
                break
            for frame in frames:
                if frame.pts is None:
                    time = count / rate
                else:
                    start = frame.pts if start is None else start
                    time = _on_the_beat(
                        (frame.pts - start) * frame.time_base, rate, frame.time_base
                    )
                # Rotations are multiples of 90 degrees, counterclockwise.
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                yield Frame(np.ascontiguousarray(pixels), time)
                count += 1
    except av.FFmpegError as error:
        complaint = str(error)
    if complaint is None and not _is_complete(file, stream, count, time + 1 / rate, 1 / rate):
        complaint = "it ends before the time that it states"
    if complaint is not None or not count:
        raise _refused(path, f"the video is damaged after {count} frames: {complaint}")


def _on_the_beat(time: Fraction, rate: Fraction, unit: Fraction) -> Fraction:
    """The time of a frame at a constant rate, if the one that is stored may be rounded from it."""
    exact = round(time * rate) / rate
    return exact if abs(exact - time) <= unit else time


def _is_complete(file: Any, stream: Any, count: int, end: Fraction, length: Fraction) -> bool:
    """Whether all frames came, as far as the file says how many there are."""
    if stream.frames:
        # Some of them may be there for others to be decoded alone.
        return bool(count >= stream.frames - 1)
    if not file.duration or len(file.streams) > 1:  # of the longest stream, often of sound
        return True
    return Fraction(file.duration, _SECONDS) - end < 2 * length


def _refused(path: Path, why: str) -> FileError:
    return FileError(Problem("unreadable", path, why), f"{path}: {why}")


@contextlib.contextmanager
def new_video(
    path: Path, extension: str, video: Video, first: Painting
) -> Iterator[Callable[[Fraction, Painting], None]]:
    """Makes a video of the frame rate of another one, without sound.

    Args:
        path: the file, under whatever name.
        extension: the one that it will have: ".mp4" or ".mkv".
        video: whose rate it gets.
        first: its first frame, for size and type; it is not written yet.

    Returns:
        A function that writes a frame: its time in seconds, and the frame.

    Raises:
        OSError: if it cannot be written.
    """
    import av

    container, codec = _FORMATS[extension]
    unit = 1 / (video.rate * _UNITS)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=video.rate)
        values = _shown(first, extension)
        stream.height, stream.width = values.shape[:2]
        stream.pix_fmt = _pixel_format(values, extension)
        stream.codec_context.time_base = unit

        def write(time: Fraction, painting: Painting) -> None:
            values = _shown(painting, extension)
            frame = av.VideoFrame.from_ndarray(
                values, format=_PIXELS[values.ndim, values.dtype.name]
            )
            frame.time_base, frame.pts, frame.duration = unit, round(time / unit), _UNITS
            file.mux(stream.encode(frame))

        yield write
        file.mux(stream.encode(None))


def _shown(painting: Painting, extension: str) -> np.ndarray:
    return painting.rgb() if extension == ".mp4" else painting.values


def _pixel_format(values: np.ndarray, extension: str) -> str:
    if extension == ".mkv":
        return _PIXELS[values.ndim, values.dtype.name]
    # What every player takes has half the resolution of color, of whole pixels.
    return "yuv444p" if values.shape[0] % 2 or values.shape[1] % 2 else "yuv420p"
