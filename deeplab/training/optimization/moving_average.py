"""An exponential moving average of the weights, for evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from deeplab.models import DeepLabModel, variables_by_path


class MovingAverage:
    """Averages of all variables of a model, moving statistics too, held by a second model.

    Attributes:
        model: the network with the averages as its weights.
    """

    def __init__(self, decay: float, model: DeepLabModel, copy: DeepLabModel) -> None:
        """Binds both models; `start` or a checkpoint sets the averages.

        Args:
            decay: share of the old average kept at a step, once many steps are done.
            model: whose variables are averaged.
            copy: another model of the same network, made in the strategy's scope; it gets them.
        """
        self.model = copy
        self._decay = decay
        sources, targets = variables_by_path(model), variables_by_path(self.model)
        self._pairs = [(targets[path], source) for path, source in sources.items()]

    def start(self) -> None:
        """Begins with the present weights."""
        for target, source in self._pairs:
            target.assign(source.value)

    def update(self, step: tf.Tensor) -> None:
        """Moves all averages; in replica context, after the weights.

        Args:
            step: steps done. Early averages forget faster: the decay is at most
                (1 + step) / (10 + step), as in TensorFlow 1's ExponentialMovingAverage.
        """
        count = tf.cast(step, tf.float32)
        rate = 1.0 - tf.minimum(self._decay, (1.0 + count) / (10.0 + count))
        tf.distribute.get_replica_context().merge_call(self._update, args=([rate],))

    def _update(self, strategy: tf.distribute.Strategy, values: Sequence[tf.Tensor]) -> None:
        for target, source in self._pairs:
            strategy.extended.update(
                target.value, _move, args=(source.value, values[0]), group=False
            )


def _move(target: tf.Variable, source: tf.Variable, rate: tf.Tensor) -> None:
    target.assign_add(rate * (source - target))
