"""The augmentations that a run may choose, by name.

A new one is a function and a row here. Its keyword-only arguments are fields of `AugmentConfig`,
but for `FROM_DATA`, which the data set and the network decide.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import tensorflow as tf

from deeplab.data.augment.geometry import random_rotation
from deeplab.data.augment.mix import class_mask, cut_mask, paste_mask
from deeplab.data.augment.photometric import photometric
from deeplab.data.augment.rand_augment import rand_augment

# Each: (image, label, seed, *, settings) -> image and label in the same shapes.
DISTORTIONS: dict[str, Callable[..., tuple[tf.Tensor, tf.Tensor]]] = {
    "photometric": photometric,
    "rotation": random_rotation,
    "rand_augment": rand_augment,
}

# Each: (the mate's label, seed, *, settings) -> bool [H, W], where the mate is pasted.
MIXES: dict[str, Callable[..., tf.Tensor]] = {
    "cut_mix": cut_mask,
    "class_mix": class_mask,
    "copy_paste": paste_mask,
}

FROM_DATA = ("fill", "class_names", "ignore_label")


def arguments_of(name: str) -> tuple[str, ...]:
    """The keyword-only arguments of an augmentation."""
    parameters = inspect.signature({**DISTORTIONS, **MIXES}[name]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


def settings_of(name: str) -> tuple[str, ...]:
    """The fields of `AugmentConfig` that an augmentation reads."""
    return tuple(argument for argument in arguments_of(name) if argument not in FROM_DATA)
