"""The depth multiplier of a MobileNet from the widths of its layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from deeplab.models.backbones.inverted_residual import round_width

# Multiples that widths are rounded to, in the order of how common they are; None: the rule of the
# network itself.
DIVISORS = (None, 8, 1, 2, 4, 16, 32)


def depth_multiplier(
    widths: Mapping[str, int],
    nominal: Mapping[str, int],
    *,
    divisors: Sequence[int | None],
    minimum: int | None = None,
    multipliers: Sequence[float] = (),
) -> tuple[float, int | None] | None:
    """A multiplier and a divisor that give the widths found.

    Args:
        widths: found widths of layers by name.
        nominal: widths at multiplier 1 of layers of the same names.
        divisors: those to try, the most likely first. None stands for 8 at multiplier 1 and for 1
            at any other, as the original has it for MobileNetV2.
        minimum: the smallest width; None: 8 at multiplier 1 and 1 at any other, likewise.
        multipliers: the only ones to try; otherwise those near the ratio of the widths, those with
            few digits first.

    Returns:
        None if nothing fits.
    """
    widest = max(nominal, key=lambda name: nominal[name])
    for multiplier in multipliers or _near(widths[widest] / nominal[widest]):
        for divisor in divisors:
            usual = 8 if multiplier == 1 else 1
            if all(
                round_width(nominal[name] * multiplier, divisor or usual, minimum or usual) == width
                for name, width in widths.items()
            ):
                return multiplier, divisor
    return None


def _near(ratio: float) -> Iterator[float]:
    """Numbers about a ratio, those with few digits first, and the nearest of them first."""
    for digits in (1, 2, 3, 4):
        unit = 10**digits
        center, reach = round(ratio * unit), math.ceil(0.06 * unit)
        candidates = range(max(1, center - reach), center + reach + 1)
        yield from sorted((n / unit for n in candidates), key=lambda value: abs(value - ratio))
