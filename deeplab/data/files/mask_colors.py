"""Masks whose colors are the classes: exact matches, never the nearest color.

The rule. If the class list states colors, and every color that a mask uses is the color of one
class, or `IGNORE_COLOR`, then the colors are the classes. Otherwise a palette's indices are the
ids, unless one of its colors is that of another class: one more color must not change what all
others mean. A mask in RGB cannot be used then. A color that two classes share belongs to neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deeplab.data.colors import IGNORE_COLOR, Color, ignore_label_of

Labels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_SHOWN = 4


class ClassColors:
    """What each color means."""

    def __init__(self, colors: Sequence[Color] | None) -> None:
        """Reads the colors of a class list, one per class; None: there are none."""
        self._ids: dict[Color, int] = {}
        self._num_classes = len(colors or ())
        if colors is not None:
            times = Counter(colors)
            self._ids = {color: id_ for id_, color in enumerate(colors) if times[color] == 1}
            if IGNORE_COLOR not in colors:
                self._ids[IGNORE_COLOR] = ignore_label_of(len(colors))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._ids)

    def unknown(self, used: Sequence[Color]) -> list[Color]:
        """Those of the colors that mean nothing."""
        return [color for color in used if color not in self._ids]

    def of_palette(self, indices: npt.NDArray[np.uint8], palette: Sequence[Color]) -> Labels | None:
        """Ids by the colors of a palette; None if not every color that is used means something.

        Args:
            indices: [H, W].
            palette: its colors; it may be shorter than an index.
        """
        used = _used(indices)
        if not self or max(used, default=0) >= len(palette):
            return None
        if self.unknown([palette[index] for index in used]):
            return None
        table = np.zeros(256, np.uint16)
        for index in used:
            table[index] = self._ids[palette[index]]
        return self._narrow(table[indices])

    def contradictions(
        self, indices: npt.NDArray[np.uint8], palette: Sequence[Color]
    ) -> dict[int, int]:
        """Indices that are used, each with the other class that its color means.

        Args:
            indices: [H, W].
            palette: its colors; it may be shorter than an index.
        """
        meant = {
            index: self._ids.get(palette[index], index)
            for index in _used(indices)
            if index < len(palette)
        }
        # Beyond the classes, void is void under any index.
        return {
            index: id_
            for index, id_ in meant.items()
            if id_ != index and min(id_, index) < self._num_classes
        }

    def of_pixels(self, pixels: npt.NDArray[np.uint8]) -> Labels | None:
        """Ids by the colors of pixels [H, W, 3]; None if not every color means something."""
        codes, places = np.unique(_codes(pixels), return_inverse=True)
        used = [_color(code) for code in codes.tolist()]
        if not self or self.unknown(used):
            return None
        table = np.array([self._ids[color] for color in used], np.uint16)
        return self._narrow(table[places.reshape(pixels.shape[:2])])

    def _narrow(self, ids: npt.NDArray[np.uint16]) -> Labels:
        return ids if max(self._ids.values()) > 255 else ids.astype(np.uint8)


def colors_used(pixels: npt.NDArray[np.uint8]) -> list[Color]:
    """The colors of pixels [H, W, 3], in order."""
    return [_color(code) for code in np.unique(_codes(pixels)).tolist()]


def listed_colors(colors: Sequence[Color]) -> str:
    """Colors for a message, shortened if there are many."""
    text = ", ".join(f"({red}, {green}, {blue})" for red, green, blue in colors[:_SHOWN])
    more = len(colors) - _SHOWN
    return f"{text} and {more} more" if more > 0 else text


def _used(indices: npt.NDArray[np.uint8]) -> list[int]:
    found: list[int] = np.flatnonzero(np.bincount(indices.ravel(), minlength=1)).tolist()
    return found


def _codes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    wide = pixels.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _color(code: int) -> Color:
    return code >> 16, code >> 8 & 255, code & 255
