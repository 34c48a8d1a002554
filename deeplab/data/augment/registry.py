"""The tables of augmentations, and how settings become functions.

A new one is a function and a row here; its settings are fields of `AugmentConfig`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from deeplab.data.augment import draw
from deeplab.data.augment.geometry import Distort, Fill, random_rotation
from deeplab.data.augment.mix import (
    Batch,
    MaskFunction,
    class_mask,
    cut_mask,
    mix_batch,
    paste_mask,
)
from deeplab.data.augment.photometric import photometric
from deeplab.data.augment.rand_augment import OPERATIONS, rand_augment
from deeplab.errors import DeepLabError, unknown_name

if TYPE_CHECKING:
    from deeplab.data.augment.config import AugmentConfig

# (batch of a replica, positions int64 [B] in the global order) -> batch.
Mixing = Callable[[Batch, tf.Tensor], Batch]


def _photometric(config: AugmentConfig, fill: Fill) -> Distort:
    return functools.partial(
        photometric,
        brightness=config.brightness,
        contrast=config.contrast,
        saturation=config.saturation,
        hue=config.hue,
        probability=config.photometric_probability,
    )


def _rotation(config: AugmentConfig, fill: Fill) -> Distort:
    return functools.partial(
        random_rotation,
        max_degrees=config.rotation_degrees,
        probability=config.rotation_probability,
        fill=fill,
    )


def _rand_augment(config: AugmentConfig, fill: Fill) -> Distort:
    return functools.partial(
        rand_augment,
        count=config.rand_augment_count,
        magnitude=config.rand_augment_magnitude,
        operations=config.rand_augment_operations or tuple(OPERATIONS),
        fill=fill,
    )


DISTORTIONS: dict[str, Callable[[AugmentConfig, Fill], Distort]] = {
    "photometric": _photometric,
    "rotation": _rotation,
    "rand_augment": _rand_augment,
}


def _cut_mix(config: AugmentConfig, class_names: Sequence[str], ignore_label: int) -> MaskFunction:
    return cut_mask


def _class_mix(
    config: AugmentConfig, class_names: Sequence[str], ignore_label: int
) -> MaskFunction:
    return functools.partial(class_mask, num_classes=len(class_names), ignore_label=ignore_label)


def _copy_paste(
    config: AugmentConfig, class_names: Sequence[str], ignore_label: int
) -> MaskFunction:
    names = list(class_names)
    for name in config.copy_paste_classes:
        if name not in names:
            raise unknown_name("class in copy_paste_classes", name, names)
    return functools.partial(
        paste_mask, classes=tuple(names.index(name) for name in config.copy_paste_classes)
    )


MIXES: dict[str, Callable[[AugmentConfig, Sequence[str], int], MaskFunction]] = {
    "cut_mix": _cut_mix,
    "class_mix": _class_mix,
    "copy_paste": _copy_paste,
}


def distortion(
    config: AugmentConfig, *, pad_value: tuple[float, ...], ignore_label: int
) -> Distort | None:
    """What `config.distortions` does to one image and its label, in that order.

    Args:
        config: the settings.
        pad_value: what the image becomes where it ends, per channel, 0..255.
        ignore_label: what the label becomes there.

    Returns:
        A pure function of image, label and seed, for use inside a graph; None if there is none.
    """
    if not config.distortions:
        return None
    fill = Fill(pad_value, ignore_label)
    steps = [DISTORTIONS[name](config, fill) for name in config.distortions]

    def distort(image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        for number, step in enumerate(steps):
            image, label = step(image, label, draw.fold_in(seed, number))
        return image, label

    return distort


def mixing(
    config: AugmentConfig,
    *,
    class_names: Sequence[str],
    ignore_label: int,
    batch_size: int,
    seed: tf.Tensor,
) -> Mixing | None:
    """What `config.mix` does to a batch.

    Args:
        config: the settings.
        class_names: of the data set, in order of the ids.
        ignore_label: id of ignored pixels.
        batch_size: images of a batch, which must be even.
        seed: [2].

    Returns:
        See `mix_batch`; None if nothing is mixed.

    Raises:
        DeepLabError: if the batches are odd, or a class is not one of the data set's.
    """
    if config.mix is None:
        return None
    if batch_size % 2:
        raise DeepLabError(
            f"mix {config.mix!r} pastes from one image of a pair into the other: the images a "
            f"replica gets in a step must be an even number, not {batch_size}; change "
            "GLOBAL_BATCH_SIZE or set AugmentConfig.mix = None"
        )
    return functools.partial(
        mix_batch,
        mask_of=MIXES[config.mix](config, class_names, ignore_label),
        probability=config.mix_probability,
        seed=seed,
    )
