"""Masks for people: class ids as colours, and laid over the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deeplab.data.sources.classes import IGNORE_COLOR, Color

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
        ignore_label: the id of pixels without a class, if there are any.
    """
    blended = (image.astype(np.uint16) + color_image(ids, colors, ignore_label) + 1) // 2
    blended[_outlines(ids)] = 255
    return blended.astype(np.uint8)


def _outlines(ids: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """One pixel wide: those that differ from the next one below or to the right."""
    edge = np.zeros(ids.shape, np.bool_)
    edge[:-1] |= ids[:-1] != ids[1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    return edge
