"""Videos in and out: frames in order, at the same rate."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from color_export import COLOR_CLASSES
from source_folders import random_image, save

import deeplab
from deeplab.errors import DeepLabError

av = pytest.importorskip("av")

RATE = Fraction(30000, 1001)
# The class of frame k: every one differs from its neighbors.
CLASSES = [0, 1, 2, 1, 0, 2, 0]


def write(path: Path, *, codec: str = "ffv1", rate: Fraction = RATE, noise: int = 1) -> Path:
    """A video whose left half is the color of a frame's class, the right half that of the next."""
    path.parent.mkdir(exist_ok=True, parents=True)
    height, width = 48, 64
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for index, class_id in enumerate(CLASSES):
            image = generator.integers(0, noise, (height, width, 3)).astype(np.uint8)
            image[:, : width // 2] |= np.array(COLOR_CLASSES[class_id], np.uint8)
            image[:, width // 2 :] |= np.array(COLOR_CLASSES[(class_id + 1) % 3], np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def frames_of(path: Path, pixels: str) -> tuple[Fraction, list[float], list[np.ndarray]]:
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [(frame.time, frame.to_ndarray(format=pixels)) for frame in file.decode(stream)]
        return stream.average_rate, [time for time, _ in frames], [image for _, image in frames]


@pytest.fixture
def predict(color_export: Path, tmp_path: Path) -> Callable[..., Any]:
    def predict(*inputs: Path, **settings: Any) -> Any:
        settings = {"saved_model": color_export, "progress": False, **settings}
        return deeplab.predict(inputs=inputs, output_dir=tmp_path / "out", **settings)

    return predict


@pytest.mark.parametrize("settings", [{}, {"batch_size": 3}, {"window": (30, 40)}])
def test_frames_keep_order_and_rate(
    predict: Callable[..., Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    video = write(tmp_path / "walk.mkv")
    result = predict(video, **settings)
    assert result.failures == ()
    names = [path.name for path in result.written]
    assert names == ["walk_index.mkv", "walk_color.mp4", "walk_overlay.mp4"]
    for path in result.written:
        rate, times, images = frames_of(path, "gray" if path.suffix == ".mkv" else "rgb24")
        assert float(rate) == pytest.approx(float(RATE), abs=0.001)
        # Matroska counts milliseconds.
        assert times == pytest.approx([k / float(RATE) for k in range(len(CLASSES))], abs=0.001)
        for image, class_id in zip(images, CLASSES, strict=True):
            assert image.shape[:2] == (48, 64)
            if path.suffix == ".mkv":
                assert (image[:, :32] == class_id).all()
                assert (image[:, 32:] == (class_id + 1) % 3).all()
            elif path.name == "walk_color.mp4":
                assert image[24, 12].argmax() == class_id


def test_odd_sizes(predict: Callable[..., Any], tmp_path: Path) -> None:
    video = write(tmp_path / "a.mp4", codec="h264")
    odd = tmp_path / "odd.mkv"
    with av.open(str(odd), "w") as file:
        stream = file.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 35, 47, "yuv444p"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(random_image(35, 47), format="rgb24")))
        file.mux(stream.encode(None))
    result = predict(video, odd, save=["overlay"])
    assert frames_of(result.written[1], "rgb24")[2][0].shape == (35, 47, 3)
    assert len(frames_of(result.written[0], "rgb24")[2]) == len(CLASSES)


def test_a_video_is_seen_as_players_show_it(predict: Callable[..., Any], tmp_path: Path) -> None:
    path = write(tmp_path / "phone.mp4", codec="h264")
    # Telephones store pictures as the sensor gives them, and how to turn them: here clockwise.
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 20] = struct.pack(">5i", 0, 1 << 16, 0, -(1 << 16), 0)
    path.write_bytes(data)
    result = predict(path, save=["index"])
    _, _, images = frames_of(result.written[0], "gray")
    for image, class_id in zip(images, CLASSES, strict=True):
        assert image.shape == (64, 48)
        assert (image[:30] == class_id).all() and (image[34:] == (class_id + 1) % 3).all()


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "h264"), ("a.avi", "mpeg4"), ("a.mkv", "ffv1"), ("a.ts", "h264")]
)
def test_a_video_that_ends_in_the_middle_of_a_frame(
    predict: Callable[..., Any],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    codec: str,
) -> None:
    path = write(tmp_path / name, codec=codec, rate=Fraction(25), noise=255)
    if name.endswith(".mp4"):  # with the table of the frames at the start
        with (
            av.open(str(path)) as source,
            av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as file,
        ):
            stream = file.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    file.mux(packet)
        (tmp_path / "fast.mp4").replace(path)
    assert predict(path, save=["index"]).failures == ()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    capfd.readouterr()
    result = predict(path, save=["index"], overwrite=True)
    ((failed, reason),) = result.failures
    assert failed == path and "is damaged after" in reason
    assert capfd.readouterr().err == f"cannot read the video {path}: {reason}\n"
    for target in result.written:
        count = int(reason.split("after ")[1].split()[0])
        assert 0 < len(frames_of(target, "gray")[2]) == count < len(CLASSES)


def test_what_is_no_video(
    predict: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    result = predict(tmp_path / "text.mp4")
    assert result.written == () and not (tmp_path / "out").exists()
    errors = capfd.readouterr().err
    assert errors.startswith(f"cannot read the video {tmp_path}/text.mp4: not a video")
    assert errors.count("\n") == 1


def test_videos_among_photographs_are_passed_over(
    predict: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "phone"
    save(folder / "a.png", random_image(5, 6))
    write(folder / "b.mkv")
    result = predict(folder, save=["index"], progress=True)
    assert [path.name for path in result.written] == ["a_index.png"]
    assert "passed over 1 file: .mkv 1" in capsys.readouterr().out
    result = predict(folder / "*.mkv", save=["index"])
    assert [path.name for path in result.written] == ["b_index.mkv"]


def test_kinds_that_videos_do_not_have(predict: Callable[..., Any], tmp_path: Path) -> None:
    video = write(tmp_path / "x.mkv")
    message = r"x\.mkv is a video, of which there is no result 'probabilities'; choices: index,"
    with pytest.raises(DeepLabError, match=message):
        predict(video, save=["probabilities", "index"])


def test_pyav_that_is_not_installed(
    predict: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write(tmp_path / "x.mkv")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DeepLabError, match=r"x\.mkv needs .* pip install 'deeplab\[video\]'"):
        predict(video)
