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
from collections.abc import Iterator

from deeplab.keras_backend import require_channels_last, require_tensorflow
from deeplab.stderr import stderr_held_back


def import_tensorflow(verbose: bool, *, alone: bool = False) -> None:
    """Imports TensorFlow, Keras and TensorFlow Datasets, in silence unless `verbose`.

    Args:
        verbose: whether everything that they say is shown.
        alone: TensorFlow without the other two, for what runs a SavedModel and nothing else.

    Raises:
        DeepLabError: if Keras is set to another backend or layout than this package needs.
    """
    if not alone:
        require_tensorflow()
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        warnings.simplefilter("ignore")
    with contextlib.nullcontext() if verbose else stderr_held_back():
        if alone:
            with _keras_is_left_out():
                import tensorflow  # noqa: F401
        else:
            import keras  # noqa: F401
            import tensorflow  # noqa: F401
            import tensorflow_datasets  # noqa: F401
    for name in () if verbose else ("absl", "tensorflow", "gin"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not alone:
        require_channels_last()


@contextlib.contextmanager
def _keras_is_left_out() -> Iterator[None]:
    """TensorFlow imports Keras, a third of its time, unless it expects that of version 2."""
    name = "TF_USE_LEGACY_KERAS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
