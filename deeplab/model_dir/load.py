"""From a model folder, or a file that Keras saved, to a Keras model."""

from __future__ import annotations

from pathlib import Path

from deeplab.errors import DeepLabError
from deeplab.model_dir.checkpoints import find_checkpoint, restore_checkpoint
from deeplab.model_dir.description import read_description
from deeplab.model_dir.keras_file import SUFFIX, read_keras_file
from deeplab.models import DeepLabModel, at_output_stride, build_model, variables_by_path


def load_model(
    model_dir: str | Path, *, output_stride: int | None = None, checkpoint: str = "latest"
) -> DeepLabModel:
    """The trained or imported model of a folder, in float32.

    Where training kept a moving average of the weights, the model has the average.

    Args:
        model_dir: folder that training or an import made, or a `.keras` file.
        output_stride: 8, 16 or 32; None: as trained. The weights are the same at each.
        checkpoint: "latest", "best", or the prefix of a checkpoint; a file has one only.

    Returns:
        images float32 [B,H,W,3] (or `input_channels`), RGB, 0..255, to logits float32
        [B,H,W,num_classes].

    Raises:
        DeepLabError: if there is no model, no such checkpoint, or they do not belong together.
    """
    path = Path(model_dir)
    if path.suffix == SUFFIX and path.is_file():
        if checkpoint != "latest":
            raise DeepLabError(f"{path} is a file: it has no checkpoint {checkpoint}")
        model = read_keras_file(path)
        return model if output_stride is None else at_output_stride(model, output_stride)
    description = read_description(model_dir)
    config = description.config
    if output_stride is not None:
        config = config.at_output_stride(output_stride)
    found = find_checkpoint(model_dir, checkpoint)
    model = build_model(config)
    restore_checkpoint(found, {description.weights_group: variables_by_path(model)})
    return model
