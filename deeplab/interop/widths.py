"""The depth multiplier of a MobileNet from the widths of its layers."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping

from deeplab.models import BACKBONES, ModelConfig, build_model, variables_by_path
from deeplab.models.backbones.inverted_residual import round_width

# Layers whose widths are multiplied and rounded; the others follow from them.
_SCALED = re.compile(r"^backbone/(conv|conv_1|expanded_conv(_\d+)?/project)/kernel$")
# Multiples that widths are rounded to, in the order of how common they are; None: 8 at multiplier 1
# and 1 at any other, as the original has it for MobileNetV2. Its other backbones have 8 alone.
_DIVISORS = (None, 8, 1, 2, 4, 16, 32)


@functools.cache
def nominal_widths(backbone: str) -> Mapping[str, int]:
    """Widths at multiplier 1 by the paths of kernels, of the layers that a multiplier scales."""
    model = build_model(ModelConfig(backbone, num_classes=2, decoder=False, atrous_rates=()))
    variables = variables_by_path(model).items()
    return {path: kernel.shape[-1] for path, kernel in variables if _SCALED.match(path)}


def depth_multiplier(
    backbone: str,
    widths: Mapping[str, int],
    *,
    multiplier: float | None = None,
    divisor: int | None = None,
) -> tuple[float, int | None] | None:
    """A multiplier and a divisor that give the widths found.

    Args:
        backbone: a key of `BACKBONES` whose widths can be scaled.
        widths: found widths, by some of the paths of `nominal_widths`.
        multiplier: the only one to try; None: those near the ratio of the widths, those with few
            digits first.
        divisor: the only one to try, of a backbone that has the choice; None: the common ones.

    Returns:
        None if nothing fits. The divisor is None where the network's own rule gives the widths.
    """
    nominal = nominal_widths(backbone)
    has_choice = "divisible_by" in BACKBONES[backbone].options
    divisors = (None,) if not has_choice else (divisor,) if divisor else _DIVISORS
    widest = max(widths, key=lambda path: nominal[path])
    near = _near(widths[widest] / nominal[widest])
    for factor in near if multiplier is None else (multiplier,):
        usual = 1 if has_choice and factor != 1 else 8
        for step in divisors:
            if all(
                round_width(nominal[path] * factor, step or usual, usual) == width
                for path, width in widths.items()
            ):
                return factor, step
    return None


def _near(ratio: float) -> Iterator[float]:
    """Numbers about a ratio, those with few digits first, and the nearest of them first."""
    for digits in (1, 2, 3, 4):
        unit = 10**digits
        center, reach = round(ratio * unit), math.ceil(0.06 * unit)
        candidates = range(max(1, center - reach), center + reach + 1)
        yield from sorted((n / unit for n in candidates), key=lambda value: abs(value - ratio))
