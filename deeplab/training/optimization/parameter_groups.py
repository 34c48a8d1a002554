"""Groups of variables that learn at different rates."""

from __future__ import annotations

import keras

from deeplab.errors import DeepLabError
from deeplab.models import variables_by_path
from deeplab.training.config import OptimizerConfig

_BACKBONE = "backbone/"
_LOGITS = "logits"


def learning_rate_multipliers(model: keras.Model, config: OptimizerConfig) -> dict[str, float]:
    """The factor on the learning rate of each trainable variable, by path.

    The last layers are those of the original's `get_extra_layer_scopes` (model.py).

    Raises:
        DeepLabError: if a factor is set for a group that this network does not have.
    """
    last_layers = _LOGITS if config.last_layers_contain_logits_only else ""
    multipliers: dict[str, float] = {}
    has_last_layer = False
    for path, variable in variables_by_path(model).items():
        if not variable.trainable:
            continue
        in_backbone = path.startswith(_BACKBONE)
        in_last_layer = path.startswith(last_layers) and not in_backbone
        has_last_layer |= in_last_layer
        multipliers[path] = (
            (config.backbone_lr_multiplier if in_backbone else 1.0)
            * (config.last_layer_lr_multiplier if in_last_layer else 1.0)
            * (config.resolved_bias_lr_multiplier if path.endswith("/bias") else 1.0)
        )
    if config.last_layer_lr_multiplier != 1 and not has_last_layer:
        raise DeepLabError(
            f"last_layer_lr_multiplier is {config.last_layer_lr_multiplier}, but no variable of "
            f"this network belongs to a layer named {_LOGITS!r}; with "
            "last_layers_contain_logits_only = False it is for the whole head"
        )
    return multipliers
