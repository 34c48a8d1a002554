"""Keras must run on TensorFlow and store images channels last, or nothing here works."""

from __future__ import annotations

import os

from deeplab.errors import DeepLabError


def require_tensorflow() -> None:
    """Makes Keras use TensorFlow; to be called before Keras is imported.

    The environment variable goes before the `backend` of keras.json, so that it is enough to set
    it when nobody else has.

    Raises:
        DeepLabError: if the environment asks for another backend.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise DeepLabError(
            f"KERAS_BACKEND={backend}: this package needs the TensorFlow backend; unset the "
            "variable or set it to tensorflow"
        )


def require_channels_last() -> None:
    """Imports Keras and looks at its settings.

    Raises:
        DeepLabError: if keras.json or the program has another backend or layout than needed.
    """
    import keras

    if keras.config.backend() != "tensorflow":
        raise DeepLabError(
            f"Keras runs on {keras.config.backend()} already; this package needs the TensorFlow "
            "backend: set KERAS_BACKEND=tensorflow before Keras is imported"
        )
    if keras.config.image_data_format() != "channels_last":
        raise DeepLabError(
            f"image_data_format is {keras.config.image_data_format()!r} in Keras' settings "
            "(~/.keras/keras.json); this package needs 'channels_last'"
        )
