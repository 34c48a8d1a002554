"""Random rotation."""

from __future__ import annotations

import tensorflow as tf

from deeplab.data.augment import draw
from deeplab.data.augment.geometry import Fill, rotate_pair


def random_rotation(
    image: tf.Tensor,
    label: tf.Tensor,
    seed: tf.Tensor,
    *,
    max_degrees: float,
    probability: float,
    fill: Fill,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Turns image and label about their centre, by the same angle.

    Args:
        image: float32 [H, W, C].
        label: int32 [H, W].
        seed: [2].
        max_degrees: the angle is uniform in -max_degrees..max_degrees.
        probability: 0..1, that anything is turned.
        fill: what comes from outside of the image.

    Returns:
        Both in the same shape.
    """
    happens, angle = draw.split(seed, 2)
    return tf.cond(
        draw.uniform(happens, 0.0, 1.0) < probability,
        lambda: rotate_pair(
            image, label, draw.uniform(angle, -max_degrees, max_degrees), fill=fill
        ),
        lambda: (image, label),
    )
