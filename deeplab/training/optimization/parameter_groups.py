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
    factors = {
        path: {
            "backbone_lr_multiplier": path.startswith(_BACKBONE),
            "last_layer_lr_multiplier": path.startswith(last_layers)
            and not path.startswith(_BACKBONE),
            "bias_lr_multiplier": path.endswith("/bias"),
        }
        for path, variable in variables_by_path(model).items()
        if variable.trainable
    }
    values = {
        "backbone_lr_multiplier": config.backbone_lr_multiplier,
        "last_layer_lr_multiplier": config.last_layer_lr_multiplier,
        "bias_lr_multiplier": config.resolved_bias_lr_multiplier,
    }
    if config.last_layer_lr_multiplier != 1 and not any(
        groups["last_layer_lr_multiplier"] for groups in factors.values()
    ):
        raise DeepLabError(
            f"last_layer_lr_multiplier is {config.last_layer_lr_multiplier}, but no variable of "
            f"this network belongs to a layer named {_LOGITS!r}; with "
            "last_layers_contain_logits_only = False it is for the whole head"
        )
    multipliers = {}
    for path, groups in factors.items():
        multipliers[path] = 1.0
        for name, belongs in groups.items():
            multipliers[path] *= values[name] if belongs else 1.0
    return multipliers
