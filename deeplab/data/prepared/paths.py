"""Where data lies: raw files on a disk, records where both TFDS and TensorFlow can write."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab.errors import DeepLabError
from deeplab.paths import expand_home

_REMOTE = "://"


def is_remote(path: str) -> bool:
    """Whether a path names a file system, such as gs://."""
    return _REMOTE in path


def data_place(path: str) -> str:
    """The folder of prepared data sets, absolute.

    Raises:
        DeepLabError: if it is on a file system that cannot be read and written here.
    """
    if not is_remote(path):
        return os.path.abspath(expand_home(path))
    scheme, _, rest = path.partition(_REMOTE)
    schemes = tf.io.gfile.get_registered_schemes()
    possible = sorted(name for name in schemes if name and _tfds_takes(name))
    if scheme not in possible or not rest:
        raise DeepLabError(
            f"the folder of prepared data sets cannot be {path}; possible: a folder on a disk, "
            f"{', '.join(f'{name}://...' for name in possible)}"
        )
    return path


def source_place(path: str) -> str:
    """The folder or list of raw files, absolute.

    Raises:
        DeepLabError: if it is not on a disk.
    """
    if is_remote(path):
        raise DeepLabError(
            f"the source folder must be on a disk, not {path}: only the prepared data sets "
            "(--data_dir) may lie elsewhere"
        )
    return os.path.abspath(expand_home(path))


@contextlib.contextmanager
def naming_unreachable(data_dir: str) -> Iterator[None]:
    """Runs a block that reads and writes data_dir.

    Raises:
        DeepLabError: instead of an error of TensorFlow's file systems.
    """
    try:
        if is_remote(data_dir):
            # What looks for copies takes a place that does not answer for an empty one.
            tf.io.gfile.exists(data_dir)
        yield
    except tf.errors.OpError as error:
        reason = " ".join(error.message.split())
        raise DeepLabError(f"cannot use {data_dir}: {reason}") from error


def _tfds_takes(scheme: str) -> bool:
    try:
        tfds.core.Path(f"{scheme}{_REMOTE}folder")
    except KeyError:
        return False
    return True
