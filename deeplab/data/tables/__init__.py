"""Tables of facts: class names, colours and stored ids of the public data sets."""

from __future__ import annotations

from deeplab.data.colors import IGNORE_LABEL

MAP_SIZE = 256


def names(text: str) -> tuple[str, ...]:
    """The names of a list that commas separate, on any number of lines."""
    return tuple(" ".join(name.split()) for name in text.split(","))


def label_map(ids: dict[int, int], other: int = IGNORE_LABEL) -> tuple[int, ...]:
    """What each of the stored ids 0..255 becomes.

    Args:
        ids: stored id -> class id.
        other: what the ids that are not listed become.
    """
    return tuple(ids.get(stored, other) for stored in range(MAP_SIZE))
