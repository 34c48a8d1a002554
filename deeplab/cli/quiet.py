"""Importing TensorFlow without its greetings.

TensorFlow writes half a dozen lines to the terminal while it is imported, whatever its log level
says, and the libraries above it log and warn. None of that is for the user of a command: what goes
to stderr are the command's own errors and warnings.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings

from deeplab.keras_backend import require_channels_last, require_tensorflow
from deeplab.stderr import stderr_held_back


def import_tensorflow(verbose: bool) -> None:
    """Imports TensorFlow, Keras and TensorFlow Datasets, in silence unless `verbose`.

    Raises:
        DeepLabError: if Keras is set to another backend or layout than this package needs.
    """
    require_tensorflow()
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        warnings.simplefilter("ignore")
    with contextlib.nullcontext() if verbose else stderr_held_back():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
        import tensorflow_datasets  # noqa: F401
    for name in () if verbose else ("absl", "tensorflow", "gin"):
        logging.getLogger(name).setLevel(logging.ERROR)
    require_channels_last()
