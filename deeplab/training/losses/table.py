"""The losses that a run may sum, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import tensorflow as tf

from deeplab.training.losses.cross_entropy import softmax_cross_entropy
from deeplab.training.losses.dice import dice
from deeplab.training.losses.focal import focal
from deeplab.training.losses.lovasz import lovasz_softmax

# Each: (pixels, *, settings) -> the replica's share of the loss of the global batch, float32
# scalar. The names of its keyword-only arguments are those of the fields of `LossConfig` it reads.
LOSSES: dict[str, Callable[..., tf.Tensor]] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "focal": focal,
    "dice": dice,
    "lovasz_softmax": lovasz_softmax,
}


def settings_of(name: str) -> tuple[str, ...]:
    """The fields of `LossConfig` that a loss reads."""
    parameters = inspect.signature(LOSSES[name]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
