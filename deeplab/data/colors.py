"""The ids and colors of classes and of ignored pixels, and masks painted for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

# What the pipeline calls "ignored" while class ids fit below it, and what it must be beyond.
IGNORE_LABEL = 255
WIDE_IGNORE_LABEL = 65535
IGNORE_COLOR = (224, 224, 192)  # as the void pixels of the PASCAL VOC masks


def ignore_label_of(num_classes: int) -> int:
    """The id that prepared labels use for ignored pixels: 255, with over 255 classes 65535."""
    return IGNORE_LABEL if num_classes <= IGNORE_LABEL else WIDE_IGNORE_LABEL


def default_colors(num_classes: int) -> tuple[Color, ...]:
    """The color map of PASCAL VOC: the bits of the id, dealt out to red, green and blue.

    Source: VOCdevkit (VOClabelcolormap), http://host.robots.ox.ac.uk/pascal/VOC/
    """
    return tuple(_default_color(index) for index in range(num_classes))


def color_table(colors: Sequence[Color], ignore_label: int | None = None) -> Image:
    """Colors by id, uint8 [N, 3]; ids between the classes and `ignore_label` are black."""
    size = max(len(colors), 0 if ignore_label is None else ignore_label + 1)
    table = np.zeros((size, 3), np.uint8)
    table[: len(colors)] = colors
    if ignore_label is not None:
        table[ignore_label] = IGNORE_COLOR
    return table


def color_image(
    ids: npt.NDArray[np.integer], colors: Sequence[Color], ignore_label: int | None = None
) -> Image:
    """Paints class ids [H, W], uint8 [H, W, 3]."""
    return color_table(colors, ignore_label)[ids]


def overlay(
    image: Image,
    ids: npt.NDArray[np.integer],
    colors: Sequence[Color],
    ignore_label: int | None = None,
) -> Image:
    """The image under its half transparent mask, segments outlined in white.

    Args:
        image: RGB [H, W, 3].
        ids: class ids [H, W].
        colors: one per class.
        ignore_label: the id of pixels without a class, if there are any.
    """
    blended = (image.astype(np.uint16) + color_image(ids, colors, ignore_label) + 1) // 2
    blended[_outlines(ids)] = 255
    return blended.astype(np.uint8)


def error_image(
    image: Image,
    labels: npt.NDArray[np.integer],
    predictions: npt.NDArray[np.integer],
    ignore_label: int,
) -> Image:
    """Where a prediction is wrong: red on the paled image, ignored pixels gray, uint8 [H, W, 3]."""
    gray = image.astype(np.float32).mean(axis=-1, keepdims=True)
    canvas = np.repeat(160 + gray * (80 / 255), 3, axis=-1).astype(np.uint8)
    canvas[labels == ignore_label] = 120
    canvas[(labels != predictions) & (labels != ignore_label)] = (214, 39, 40)
    return canvas


def _outlines(ids: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """One pixel wide: those that differ from the next one below or to the right."""
    edge = np.zeros(ids.shape, np.bool_)
    edge[:-1] |= ids[:-1] != ids[1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    return edge


def _default_color(index: int) -> Color:
    red = green = blue = 0
    for bit in range(7, -1, -1):
        red |= (index & 1) << bit
        green |= (index >> 1 & 1) << bit
        blue |= (index >> 2 & 1) << bit
        index >>= 3
    return red, green, blue
