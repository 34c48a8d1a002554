"""Masks for people: class ids as colours, and laid over the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IGNORE_COLOR = (224, 224, 192)  # as the void pixels of the PASCAL VOC masks

Color = tuple[int, int, int]
Image = npt.NDArray[np.uint8]


def color_table(colors: Sequence[Color], ignore_label: int | None = None) -> Image:
    """Colours by id, uint8 [N, 3]; ids between the classes and `ignore_label` are black."""
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
        ignore_label: an id that is no class and may occur.
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
    """Where a prediction is wrong: red on the paled image, ignored pixels grey, uint8 [H, W, 3]."""
    grey = image.astype(np.float32).mean(axis=-1, keepdims=True)
    canvas = np.repeat(160 + grey * (80 / 255), 3, axis=-1).astype(np.uint8)
    canvas[labels == ignore_label] = 120
    canvas[(labels != predictions) & (labels != ignore_label)] = (214, 39, 40)
    return canvas


def _outlines(ids: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """One pixel wide: those that differ from the next one below or to the right."""
    edge = np.zeros(ids.shape, np.bool_)
    edge[:-1] |= ids[:-1] != ids[1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    return edge
