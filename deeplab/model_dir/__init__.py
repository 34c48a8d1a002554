"""What lies in a model folder: model.json, checkpoints, the lock."""

from deeplab.model_dir.checkpoints import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    Checkpoint,
    Groups,
    find_checkpoint,
    list_checkpoints,
    read_variable,
    restore_checkpoint,
    save_checkpoint,
    stored_shapes,
)
from deeplab.model_dir.description import (
    CLASSIFIER_GROUP,
    ClassifierDescription,
    ModelDescription,
    has_description,
    read_description,
    write_description,
)
from deeplab.model_dir.load import load_model
from deeplab.model_dir.lock import exclusive
from deeplab.model_dir.recovery import Recovered, recover

__all__ = [
    "BEST_FOLDER",
    "CHECKPOINT_FOLDER",
    "CLASSIFIER_GROUP",
    "Checkpoint",
    "ClassifierDescription",
    "Groups",
    "ModelDescription",
    "Recovered",
    "exclusive",
    "find_checkpoint",
    "has_description",
    "list_checkpoints",
    "load_model",
    "read_description",
    "read_variable",
    "recover",
    "restore_checkpoint",
    "save_checkpoint",
    "stored_shapes",
    "write_description",
]
