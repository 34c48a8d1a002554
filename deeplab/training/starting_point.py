"""Where the first weights of a run come from."""

from __future__ import annotations

from deeplab.errors import DeepLabError
from deeplab.models import DeepLabModel, variables_by_path
from deeplab.run_folder import find_checkpoint, read_description, restore_checkpoint, stored_shapes

_LAST_LAYER = "logits/"


def initialize_from(model: DeepLabModel, model_dir: str) -> str:
    """Loads the weights of another model folder.

    The last layer is left as it is when the class counts differ. Everything else must fit.

    Returns:
        A line that says what was loaded and what was not.

    Raises:
        DeepLabError: if the other model is of another architecture.
    """
    other = read_description(model_dir)
    checkpoint = find_checkpoint(model_dir)
    variables = variables_by_path(model)
    if other.config.backbone != model.model_config.backbone:
        raise DeepLabError(
            f"cannot start from {model_dir}: its backbone is {other.config.backbone}, "
            f"this run's is {model.model_config.backbone}"
        )
    stored = stored_shapes(checkpoint)
    fresh = [
        path
        for path, variable in variables.items()
        if path.startswith(_LAST_LAYER) and stored.get(("model", path)) != tuple(variable.shape)
    ]
    loaded = {path: variable for path, variable in variables.items() if path not in fresh}
    restore_checkpoint(checkpoint, {"model": loaded})
    line = f"{checkpoint.prefix} ({len(loaded)} variables)"
    if fresh:
        line += (
            f"; fresh, since it has {other.config.num_classes} classes and this run "
            f"{model.model_config.num_classes}: {', '.join(fresh)}"
        )
    return line
