"""Mixing the images of a batch in pairs: CutMix, ClassMix and copy-paste.

The elements 2j and 2j + 1 of the global order are each other's mates. Pixels of the mate are pasted
at the place where they are, with their labels, so that a method is a function that says where: a
mask. Which images meet and what is drawn depends on the seed and on an element's position in the
global order only, so that the number of workers and replicas changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from deeplab.data.augment import draw

Batch = dict[str, tf.Tensor]
MaskFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def cut_mask(mate_label: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """CutMix (Yun et al., arXiv 1905.04899): a rectangle anywhere, of a random share of the area.

    The share is uniform in 0..1 before what lies outside of the image is cut off.

    Args:
        mate_label: int32 [H, W].
        seed: [2].

    Returns:
        bool [H, W], where the mate is pasted.
    """
    size = tf.cast(tf.shape(mate_label), tf.float32)
    share, *centers = tf.unstack(tf.random.stateless_uniform([3], seed, alg=draw.ALGORITHM))
    inside = []
    for axis in (0, 1):
        half = size[axis] * tf.sqrt(share) / 2
        middle = size[axis] * centers[axis]
        position = tf.range(size[axis]) + 0.5
        inside.append((position > middle - half) & (position < middle + half))
    return inside[0][:, None] & inside[1]


def class_mask(
    mate_label: tf.Tensor, seed: tf.Tensor, *, class_names: Sequence[str], ignore_label: int
) -> tf.Tensor:
    """ClassMix (Olsson et al., arXiv 2007.07936): all pixels of half of the mate's classes.

    Half is rounded up. Ignored pixels belong to no class and are never pasted.

    Args:
        mate_label: int32 [H, W].
        seed: [2].
        class_names: one per class id; `ignore_label` may be one of the ids.
        ignore_label: id of ignored pixels.

    Returns:
        bool [H, W], where the mate is pasted.
    """
    num_classes = len(class_names)
    valid = _is_class(mate_label, num_classes, ignore_label)
    label = tf.where(valid, mate_label, num_classes)
    counts = tf.math.bincount(tf.reshape(label, [-1]), minlength=num_classes + 1)
    present = counts[:num_classes] > 0
    chosen_count = (tf.math.count_nonzero(present, dtype=tf.int32) + 1) // 2
    lots = tf.random.stateless_uniform([num_classes], seed, alg=draw.ALGORITHM)
    order = tf.argsort(tf.where(present, lots, 2.0))  # the absent classes last
    chosen = tf.scatter_nd(
        order[:chosen_count, None], tf.ones([chosen_count], tf.bool), [num_classes + 1]
    )
    return tf.gather(chosen, label)


def paste_mask(
    mate_label: tf.Tensor,
    seed: tf.Tensor,
    *,
    copy_paste_classes: Sequence[str],
    class_names: Sequence[str],
) -> tf.Tensor:
    """Copy-paste (Ghiasi et al., arXiv 2012.07177), for classes: all of the mate's pixels of some.

    The paper pastes instances; a semantic label has none, so that all pixels of the classes are
    pasted. The jitter of the scale that it needs is that of the images themselves.

    Args:
        mate_label: int32 [H, W].
        seed: [2]; nothing is drawn here.
        copy_paste_classes: names of the classes that are pasted.
        class_names: one per class id.

    Returns:
        bool [H, W], where the mate is pasted.
    """
    del seed
    ids = tf.constant([list(class_names).index(name) for name in copy_paste_classes])
    return tf.reduce_any(tf.equal(mate_label[..., None], ids), axis=-1)


def mix_batch(
    batch: Batch,
    positions: tf.Tensor,
    *,
    mask_of: MaskFunction,
    probability: float,
    seed: tf.Tensor,
) -> Batch:
    """Pastes into every element something of its mate, with a probability of its own.

    Args:
        batch: "image" [B, H, W, C], "label" int32 [B, H, W], "id" string [B]; B is even and the
            elements are consecutive in the global order, beginning with an even position.
        positions: int64 [B], of the elements in the global order.
        mask_of: (the mate's label [H, W], a seed [2]) -> bool [H, W], where the mate is pasted.
        probability: 0..1, that anything is pasted.
        seed: [2].

    Returns:
        The same shapes. Where something was pasted, the id is the element's and the mate's, with a
        "+" between them.
    """
    mate = {name: _swapped(tensor) for name, tensor in batch.items()}

    def mask(element: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        mate_label, position = element
        happens, where = draw.split(draw.fold_in(seed, position), 2)
        return tf.cond(
            draw.uniform(happens, 0.0, 1.0) < probability,
            lambda: mask_of(mate_label, where),
            lambda: tf.zeros(tf.shape(mate_label), tf.bool),
        )

    masks = tf.map_fn(
        mask,
        (mate["label"], positions),
        fn_output_signature=tf.TensorSpec(batch["label"].shape[1:], tf.bool),
    )
    is_mixed = tf.reduce_any(masks, axis=[1, 2])
    both = tf.strings.join([batch["id"], mate["id"]], separator="+")
    return {
        "image": tf.where(masks[..., None], mate["image"], batch["image"]),
        "label": tf.where(masks, mate["label"], batch["label"]),
        "id": tf.where(is_mixed, both, batch["id"]),
    }


def _is_class(label: tf.Tensor, num_classes: int, ignore_label: int) -> tf.Tensor:
    return (label >= 0) & (label < num_classes) & tf.not_equal(label, ignore_label)


def _swapped(tensor: tf.Tensor) -> tf.Tensor:
    """Exchanges the elements 2j and 2j + 1."""
    return tf.gather(tensor, tf.bitwise.bitwise_xor(tf.range(tf.shape(tensor)[0]), 1))
