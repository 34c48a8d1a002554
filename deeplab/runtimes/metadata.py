"""What an exported file says of itself; every format carries the same JSON text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deeplab.errors import DeepLabError

# The name of the text among the properties of an ONNX file and the metadata of a LiteRT file.
NAME = "deeplab"

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What is needed to use an exported network.

    Attributes:
        class_names: one per class, in order of class id.
        colors: one per class, RGB 0..255.
        ignore_label: label id that counts nowhere.
        input_channels: of the images, the first three of them RGB.
        pad_value: what images are padded with, 0..255, one value per channel.
        resize: how the network resizes, a key of `RESIZES`; exports from before there was a choice
            do not state it.
        step: of the checkpoint; None if it is not known.
        output_stride: of the network; None if it is not known.
        mask_ignore: the id that means "no class" in masks as they were prepared for training; None:
            `ignore_label`.
        mask_colors: the colors that stand for the classes in such masks; None: none do.
        size: height and width of the only images that it takes; None: any, or the file shows it.
        training: nothing; a file remembers no data set.
    """

    class_names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_label: int = 255
    input_channels: int = 3
    pad_value: tuple[float, ...] = (127.5, 127.5, 127.5)
    resize: str = "align_corners"
    step: int | None = None
    output_stride: int | None = None
    mask_ignore: int | None = None
    mask_colors: tuple[Color, ...] | None = None
    size: tuple[int, int] | None = None
    training: None = None


def parse(text: str | None, path: Path) -> Metadata:
    """Reads the text of a file.

    Args:
        text: JSON; None if the file has none.
        path: of the file, for the message.

    Raises:
        DeepLabError: if it is not what an export says of itself.
    """
    if text is None:
        raise DeepLabError(f"{path} is no export of deeplab: nothing in it names the classes")
    try:
        return _metadata(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise DeepLabError(
            f"{path} is no export of deeplab: what it says of its classes cannot be read"
        ) from error


def _metadata(values: dict[str, Any]) -> Metadata:
    preprocessing, source = values.get("preprocessing", {}), values.get("source", {})
    mask_colors = values.get("mask_colors")
    channels = int(preprocessing.get("channels", Metadata.input_channels))
    size = preprocessing.get("size", "any")
    return Metadata(
        class_names=tuple(map(str, values["classes"])),
        colors=_colors(values["colors"]),
        ignore_label=int(values.get("ignore_label", Metadata.ignore_label)),
        input_channels=channels,
        pad_value=tuple(map(float, preprocessing.get("pad_value", [127.5] * channels))),
        resize=values.get("resize", Metadata.resize),
        step=source.get("step"),
        output_stride=source.get("output_stride"),
        mask_ignore=values.get("mask_ignore"),
        mask_colors=None if mask_colors is None else _colors(mask_colors),
        size=None if size == "any" else (int(size[0]), int(size[1])),
    )


def _colors(values: Iterable[Iterable[int]]) -> tuple[Color, ...]:
    return tuple((int(red), int(green), int(blue)) for red, green, blue in values)
