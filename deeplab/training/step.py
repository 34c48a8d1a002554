"""One training step, the same on one device, several or a slice of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from deeplab.models import DeepLabModel, decayed_variables, scale_logits
from deeplab.training.losses import Loss, l2_penalty
from deeplab.training.optimization.loss_scale import LossScale
from deeplab.training.optimization.moving_average import MovingAverage
from deeplab.training.optimization.optimizers import Optimizer

Batch = dict[str, tf.Tensor]


class StepResult(NamedTuple):
    """Scalars of a step, each over the whole global batch.

    Attributes:
        loss: without weight decay.
        penalty: weight decay in the loss.
        gradient_norm: L2 norm of the gradient of both, before it is clipped.
        learning_rate: what the update was made with.
        loss_scale: factor on the loss while gradients were computed; 1 without loss scaling.
        skipped: whether nothing was updated, because the gradients did not fit into float16 and a
            smaller loss scale may help.
    """

    loss: tf.Tensor
    penalty: tf.Tensor
    gradient_norm: tf.Tensor
    learning_rate: tf.Tensor
    loss_scale: tf.Tensor
    skipped: tf.Tensor


class _Part(NamedTuple):
    """What a replica computes of a part of its batch.

    Attributes:
        loss: share in the loss of the global batch.
        penalty: share in the weight decay.
        gradients: of both, times the loss scale.
    """

    loss: tf.Tensor
    penalty: tf.Tensor
    gradients: list[tf.Tensor]


def make_train_step(
    model: DeepLabModel,
    optimizer: Optimizer,
    strategy: tf.distribute.Strategy,
    *,
    loss: Loss,
    ignore_label: int,
    weight_decay: float,
    forward: Callable[[tf.Tensor], dict[str, tf.Tensor]] | None = None,
    accumulation_steps: int = 1,
    clip_norm: float = 0.0,
    loss_scale: LossScale | None = None,
    average: MovingAverage | None = None,
    jit_compile: bool = False,
) -> Callable[[Any], StepResult]:
    """Compiles the step.

    Args:
        model: images -> logits, made in the strategy's scope.
        optimizer: made there as well.
        strategy: how batches are spread.
        loss: as `make_loss` gives it. With an image pyramid of several scales it is summed over the
            logits of each scale and the merged ones, as in the original (utils/train_utils.py).
        ignore_label: label of the pixels that do not count.
        weight_decay: factor of the L2 term in the loss.
        forward: images -> what `scale_logits` gives, in training; None: the model as it is.
        accumulation_steps: parts of a batch that go through the network one after the other.
        clip_norm: largest L2 norm of the gradient; 0: any.
        loss_scale: made in the strategy's scope; None: no scaling.
        average: likewise; None: no average of the weights.
        jit_compile: whether XLA compiles what a replica does; of one replica only.

    Returns:
        A function of a (distributed) batch; it updates the weights.
    """
    decayed = decayed_variables(model)
    if forward is None:
        forward = partial(scale_logits(model), training=True)

    def backward(part: Batch, weight: tf.Tensor, decay: float) -> _Part:
        replicas = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            scales = forward(part["image"])
            step = tf.convert_to_tensor(optimizer.step)
            value = weight * tf.add_n(
                [loss(part["label"], logits, step) for logits in scales.values()]
            )
            penalty = tf.constant(0.0)
            if decay:
                penalty = decay * l2_penalty(decayed) / replicas.num_replicas_in_sync
            objective = value + penalty
            if loss_scale:
                objective *= loss_scale.value
        return _Part(value, penalty, tape.gradient(objective, optimizer.weights))

    def replica_step(batch: Batch) -> StepResult:
        replicas = tf.distribute.get_replica_context()
        parts = _split(batch, accumulation_steps)
        weights = _weights(parts, ignore_label)
        # The penalty is that of the variables, once per step.
        total = backward(parts[0], weights[0], weight_decay)
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            # Else TensorFlow may compute the parts side by side, in the memory of all of them.
            with tf.control_dependencies(total.gradients):
                image = tf.identity(part["image"])
            more = backward({**part, "image": image}, weight, 0.0)
            total = tf.nest.map_structure(tf.add, total, more)
        # Gradients are summed over replicas: those of the shares add up to that of the loss.
        gradients = replicas.all_reduce("SUM", total.gradients)
        value, penalty = replicas.all_reduce("SUM", [total.loss, total.penalty])

        scale, skipped = tf.constant(1.0), tf.constant(False)
        if loss_scale:
            scale = tf.identity(loss_scale.value)
            gradients = [gradient / scale for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        if clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)
        learning_rate = optimizer.learning_rate()
        if loss_scale:
            overflow = ~tf.math.is_finite(norm)
            optimizer.apply(gradients, unless=overflow, skipped=loss_scale.skipped_steps)
            skipped = loss_scale.update(overflow)
        else:
            optimizer.apply(gradients)
        if average:
            average.update(optimizer.step)
        return StepResult(value, penalty, norm, learning_rate, scale, skipped)

    if jit_compile:
        replica_step = tf.function(replica_step, jit_compile=True, autograph=False)

    # All its branches and loops are Python's; looking for others is a third of the tracing.
    @tf.function(autograph=False)
    def train_step(batch: Any) -> StepResult:
        # XLA knows no strings, and so not the names of the images.
        seen = {key: batch[key] for key in ("image", "label")}
        results = strategy.run(replica_step, args=(seen,))
        # Every replica has the same values: they were summed there.
        return StepResult(*(strategy.experimental_local_results(value)[0] for value in results))

    return train_step


def _split(batch: Batch, parts: int) -> list[Batch]:
    images, labels = (tf.split(batch[key], parts) for key in ("image", "label"))
    return [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]


def _weights(parts: Sequence[Batch], ignore_label: int) -> list[Any]:
    """The share of each part in the valid pixels of the global batch.

    A loss is a mean over the valid pixels of what it is given: so weighted, the losses of the parts
    add up to that of the whole.
    """
    if len(parts) == 1:
        return [1.0]
    counts = tf.stack(
        [tf.reduce_sum(tf.cast(p["label"] != ignore_label, tf.float32)) for p in parts]
    )
    counts = tf.distribute.get_replica_context().all_reduce("SUM", counts)
    return tf.unstack(counts / tf.maximum(tf.reduce_sum(counts), 1.0))
