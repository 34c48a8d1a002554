"""Training in less memory: only what units of the network pass on is kept for the backward pass.

What lies inside a unit is computed again when its gradient is needed (Chen et al., "Training deep
nets with sublinear memory cost", arXiv 1604.06174). Keras' own scope for this works on one layer at
a time, whose input is what has to be kept anyway, and repeats the update of batch norm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from deeplab.errors import DeepLabError
from deeplab.models.batch_norm import BatchNorm
from deeplab.models.deeplab_v3_plus import DeepLabModel, scale_logits
from deeplab.models.resize import ResizeLike

_LOGITS = "logits_low_resolution"

# The unit of a layer is what this finds at the beginning of its name; other layers stand alone.
_UNIT = re.compile(
    r"backbone\.(?:\w+\.)*?(?:expanded_conv(?:_\d+)?|unit_\d+|cell_\d+)(?=\.)"
    r"|(?:aspp|decoder(?:\.stage_\d+)?)\.conv\d+(?=\.)"
    r"|dense_prediction_cell\.branch\d+(?=\.)"
)

Values = dict[int, tf.Tensor]  # by the id of the symbolic tensor


class Unit:
    """Layers that are computed together, in order.

    Attributes:
        layers: all of them.
        inputs: ids of the tensors that come from outside.
        outputs: ids of those that are needed outside.
    """

    def __init__(self, layers: Sequence[keras.layers.Layer]) -> None:
        """Inputs follow; outputs are filled in by `units_of`."""
        self.layers = list(layers)
        made = {id(layer.output) for layer in layers}
        needed = [id(x) for layer in layers for x in _inputs(layer)]
        self.inputs = [key for key in dict.fromkeys(needed) if key not in made]
        self.outputs: list[int] = []

    def run(self, values: Values, *, again: bool) -> Values:
        """All tensors of the unit, in training.

        Args:
            values: of the inputs.
            again: whether this is done for the gradient: what has been updated stays then.
        """
        values = dict(values)
        for layer in self.layers:
            values[id(layer.output)] = _call(layer, [values[id(x)] for x in _inputs(layer)], again)
        return values


def units_of(model: DeepLabModel) -> list[Unit]:
    """The units of a network, each after those whose outputs it needs.

    Raises:
        DeepLabError: with an image pyramid, where every layer is used several times.
    """
    if model.model_config.image_pyramid != (1.0,):
        raise DeepLabError("rematerialize does not work with an image_pyramid")
    members: dict[str, list[keras.layers.Layer]] = {}
    for layer in scale_logits(model).operations:
        if not isinstance(layer, keras.layers.InputLayer):
            match = _UNIT.match(layer.name)
            members.setdefault(match.group() if match else layer.name, []).append(layer)
    units = [Unit(layers) for layers in members.values()]
    needed = {key for unit in units for key in unit.inputs}
    needed.add(id(model.endpoints[_LOGITS]))
    for unit in units:
        made = (id(layer.output) for layer in unit.layers)
        unit.outputs = [key for key in made if key in needed]
    return _sorted(units, known={id(model.input)})


def _sorted(units: Sequence[Unit], known: set[int]) -> list[Unit]:
    """The order in which inputs are there; a layer may stand before the rest of its unit."""
    found: list[Unit] = []
    left = list(units)
    while left:
        ready = next(unit for unit in left if known.issuperset(unit.inputs))
        left.remove(ready)
        found.append(ready)
        known = known.union(ready.outputs)
    return found


def rematerialized(model: DeepLabModel) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """The network in training, as a function that keeps less for its gradient.

    Returns:
        images float32 [B,H,W,3] to what `scale_logits` gives; values, gradients and the update of
        batch norm are those of `scale_logits(model)(images, training=True)`.

    Raises:
        DeepLabError: with an image pyramid.
    """
    units = units_of(model)

    def forward(images: tf.Tensor) -> dict[str, tf.Tensor]:
        values = {id(model.input): images}
        for unit in units:
            inputs = [values[key] for key in unit.inputs]
            run = _run_twice if len(unit.layers) > 1 else _run_once
            values.update(zip(unit.outputs, run(unit, inputs), strict=True))
        return {_LOGITS: values[id(model.endpoints[_LOGITS])]}

    return forward


def _run_once(unit: Unit, inputs: Sequence[tf.Tensor], *, again: bool = False) -> list[tf.Tensor]:
    values = unit.run(dict(zip(unit.inputs, inputs, strict=True)), again=again)
    return [values[key] for key in unit.outputs]


def _run_twice(unit: Unit, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Once for the result, and once more for its gradient."""

    @tf.custom_gradient
    def result(*inputs: tf.Tensor) -> Any:
        outputs = _run_once(unit, inputs)

        def gradient(*upstream: tf.Tensor, variables: Sequence[tf.Variable] = ()) -> Any:
            # Not before the gradient is here; and TensorFlow must not take the second computation
            # for the first.
            with tf.control_dependencies(upstream):
                copies = [tf.identity(x) for x in inputs]
            with tf.GradientTape() as tape:
                tape.watch(copies)
                outputs = _run_once(unit, copies, again=True)
            of_inputs, of_variables = tape.gradient(
                outputs,
                (copies, list(variables)),
                output_gradients=list(upstream),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return of_inputs, of_variables

        return outputs, gradient

    return result(*inputs)


def _inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _call(layer: keras.layers.Layer, inputs: Sequence[tf.Tensor], again: bool) -> tf.Tensor:
    if again and isinstance(layer, BatchNorm):
        return layer.normalize(inputs[0])
    if isinstance(layer, ResizeLike):
        return layer(*inputs)
    return layer(inputs if isinstance(layer.input, list) else inputs[0], training=True)
