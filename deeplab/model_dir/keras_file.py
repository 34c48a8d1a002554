"""Reading a `.keras` file that `save` of one of our models wrote."""

from __future__ import annotations

import os

import keras

from deeplab.errors import DeepLabError
from deeplab.models import DeepLabModel

SUFFIX = ".keras"


def read_keras_file(path: str | os.PathLike[str]) -> DeepLabModel:
    """The model of a file, with its weights, as it was saved.

    Raises:
        DeepLabError: if the file is damaged or holds another model.
    """
    try:
        model = keras.models.load_model(path, compile=False)
    except MemoryError:
        raise
    # Keras reads archives, JSON and HDF5 as they come: what a damaged file raises is not stated.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DeepLabError(f"{path} is no model of this package, or damaged: {reason}") from error
    if not isinstance(model, DeepLabModel):
        raise DeepLabError(f"{path} is no model of this package: it holds a {type(model).__name__}")
    return model
