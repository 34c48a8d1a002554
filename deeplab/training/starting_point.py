"""Where the first weights of a run come from."""

from __future__ import annotations

from typing import NamedTuple

from deeplab.errors import DeepLabError
from deeplab.models import DeepLabModel, variables_by_path
from deeplab.run_folder import (
    Checkpoint,
    ModelDescription,
    find_checkpoint,
    read_description,
    restore_checkpoint,
    stored_shapes,
)

_LAST_LAYER = "logits/"


class StartingPoint(NamedTuple):
    """The first weights of a run.

    Attributes:
        source: where they came from, in words.
        batch_norm_folded: whether they came without the statistics of batch norm.
    """

    source: str
    batch_norm_folded: bool


def find_start(backbone: str, model_dir: str) -> tuple[ModelDescription, Checkpoint]:
    """The model of another folder, which needs no data to be refused.

    Raises:
        DeepLabError: if there is none, or it has another backbone.
    """
    other = read_description(model_dir)
    if other.config.backbone != backbone:
        raise DeepLabError(
            f"cannot start from {model_dir}: its backbone is {other.config.backbone}, "
            f"this run's is {backbone}"
        )
    return other, find_checkpoint(model_dir)


def initialize_from(model: DeepLabModel, model_dir: str) -> StartingPoint:
    """Loads the weights of another model folder, their moving average where there is one.

    The last layer is left as it is when the class counts differ. Everything else must fit.

    Returns:
        What was loaded and what was not.

    Raises:
        DeepLabError: if the other model is of another architecture.
    """
    other, checkpoint = find_start(model.model_config.backbone, model_dir)
    group = other.weights_group
    variables = variables_by_path(model)
    stored = stored_shapes(checkpoint)
    fresh = [
        path
        for path, variable in variables.items()
        if path.startswith(_LAST_LAYER) and stored.get((group, path)) != tuple(variable.shape)
    ]
    loaded = {path: variable for path, variable in variables.items() if path not in fresh}
    restore_checkpoint(checkpoint, {group: loaded})
    line = f"{checkpoint.prefix} ({len(loaded)} variables)"
    if fresh:
        line += (
            f"; fresh, since it has {other.config.num_classes} classes and this run "
            f"{model.model_config.num_classes}: {', '.join(fresh)}"
        )
    return StartingPoint(line, other.batch_norm_folded)
