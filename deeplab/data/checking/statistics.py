"""Class frequencies, and the class weights that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deeplab.data.checking.result import CheckResult, SplitTally
from deeplab.data.sources.pairs import find_split
from deeplab.errors import DeepLabError, unknown_name


def known_split(result: CheckResult, name: str) -> str:
    """The split of that name; "val" and "validation" mean the same.

    Raises:
        DeepLabError: if there is none; the message lists the splits.
    """
    found = find_split(name, result.splits)
    if found is None:
        unknown = unknown_name("split", name, result.splits)
        raise DeepLabError(f"data set {result.title!r}: {unknown}")
    return found


def class_weights(tally: SplitTally) -> tuple[float, ...]:
    """Median frequency balancing: the median class weighs 1, rarer ones more.

    The frequency of a class is its pixels divided by the labeled pixels of the images in which
    it occurs; its weight is the median of all frequencies divided by its own. A class that never
    occurs weighs 1 and does not enter the median.

    Source: Eigen and Fergus, arXiv 1411.4734, section 6.3.2.
    """
    occurs = tally.class_pixels > 0
    if not occurs.any():
        return (1.0,) * len(occurs)
    frequency = tally.class_pixels / np.maximum(tally.pixels_where_present, 1)
    weights = np.ones(len(occurs))
    weights[occurs] = np.median(frequency[occurs]) / frequency[occurs]
    return tuple(weights.tolist())


def weights_binding(weights: Sequence[float]) -> str:
    """The weights as a line for a gin file, with four digits."""
    return f"LossConfig.class_weights = ({', '.join(f'{weight:.4g}' for weight in weights)})"
