"""The order of the training images: a function of the seed, the same for all who read it."""

from __future__ import annotations

import tensorflow as tf

from deeplab.data.augment import draw


def training_order(
    num_images: int,
    seed: tf.Tensor,
    *,
    start_step: int = 0,
    share: int = 1,
    worker_index: int = 0,
    num_workers: int = 1,
) -> tf.data.Dataset:
    """One worker's part of the endless global sequence of images, a permutation per epoch.

    Of each step, `num_workers * share` positions of the sequence, a worker has its share. Nothing
    that comes before the first step is read; at most one epoch of numbers is skipped.

    Args:
        num_images: images of the split.
        seed: [2].
        start_step: steps that are done.
        share: positions of a step that belong to one worker.
        worker_index: which of them.
        num_workers: how many there are.

    Returns:
        Pairs of int64 scalars: the position in the sequence, and the number of the record there.
    """
    step_size = share * num_workers
    start = start_step * step_size

    def epoch_order(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = draw.fold_in(seed, epoch)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(num_images, dtype=tf.int64), epoch_seed, alg=draw.ALGORITHM
        )
        return tf.data.Dataset.from_tensor_slices(order)

    epochs = tf.data.Dataset.range(start // num_images, tf.int64.max)
    indices = epochs.flat_map(epoch_order).skip(start % num_images)
    order = tf.data.Dataset.zip(tf.data.Dataset.range(start, tf.int64.max), indices)
    if num_workers == 1:
        return order
    return order.filter(lambda position, _: position % step_size // share == worker_index)


def order_of_own_records(
    num_images: int,
    seed: tf.Tensor,
    *,
    start_step: int,
    share: int,
    worker_index: int,
    num_workers: int,
) -> tf.data.Dataset:
    """A sequence of one worker's own: permutations of the records that only it reads.

    Args:
        num_images: the number of the worker's records.
        seed: as of `training_order`, likewise all that follow.
        start_step: steps that are done.
        share: positions of a step that belong to one worker.
        worker_index: which of them.
        num_workers: how many there are.

    Returns:
        As `training_order`: the positions are the same, the records are the worker's.
    """
    own_seed = draw.fold_in(seed, worker_index)
    own = training_order(num_images, own_seed, start_step=start_step, share=share)

    def globally(position: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        step, offset = position // share, position % share
        return (step * num_workers + worker_index) * share + offset, index

    return own.map(globally)
