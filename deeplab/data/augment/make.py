"""From settings to functions: what a run does to an image, and to a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from deeplab.data.augment import draw
from deeplab.data.augment.config import AugmentConfig
from deeplab.data.augment.geometry import Distort, Fill
from deeplab.data.augment.mix import Batch, mix_batch
from deeplab.data.augment.registry import DISTORTIONS, MIXES, arguments_of
from deeplab.errors import DeepLabError, unknown_name

# (batch of a replica, positions int64 [B] in the global order) -> batch.
Mixing = Callable[[Batch, tf.Tensor], Batch]


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
    steps = [_bound(name, config, {"fill": fill}) for name in config.distortions]

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
    for name in config.copy_paste_classes:
        if name not in class_names:
            raise unknown_name("class in copy_paste_classes", name, class_names)
    from_data = {"class_names": class_names, "ignore_label": ignore_label}
    return functools.partial(
        mix_batch,
        mask_of=_bound(config.mix, config, from_data),
        probability=config.mix_probability,
        seed=seed,
    )


def _bound(name: str, config: AugmentConfig, from_data: Mapping[str, object]) -> Callable[..., Any]:
    """An augmentation with its settings, and with those of `FROM_DATA` that it takes."""
    arguments = {
        argument: from_data[argument] if argument in from_data else getattr(config, argument)
        for argument in arguments_of(name)
    }
    return functools.partial({**DISTORTIONS, **MIXES}[name], **arguments)
