"""Prepared copies on the disk: finding them, opening them, and naming what is damaged in one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab.data.prepared.paths import is_remote
from deeplab.data.prepared.prepare import quiet_tfds
from deeplab.data.spec import DatasetSpec
from deeplab.errors import DeepLabError

_INFO, _FEATURES, _METADATA = "dataset_info.json", "features.json", "metadata.json"
# What metadata.json holds of a data set whose classes are its source's.
_OF_SOURCE = ("class_names", "colors", "ignore_label")

_SHOWN = 200  # characters of an error of TFDS


def only_copy(spec: DatasetSpec, data_dir: str) -> tfds.core.DatasetBuilder:
    """Opens the prepared copy of a data set that is found without its raw files.

    Raises:
        DeepLabError: if there is none, or there are several.
    """
    if spec.class_names is None:  # any folder could be meant
        raise DeepLabError(f"the data set {spec.name!r} needs --source_dir: {spec.how_to_get}")
    pattern = f"{spec.copies or f'{spec.name}/*/*'}/{_INFO}"
    copies = sorted(info.parent for info in _below(data_dir, pattern))
    if not copies:
        raise DeepLabError(f"{spec.name} is not prepared in {data_dir}: {spec.how_to_get}")
    if len(copies) > 1:
        raise DeepLabError(
            f"{data_dir}/{spec.name} holds {len(copies)} copies, made from different files: pass "
            "--source_dir to say which"
        )
    return open_copy(spec, copies[0])


def open_copy(spec: DatasetSpec, folder: os.PathLike[str]) -> tfds.core.DatasetBuilder:
    """Opens a prepared copy as it lies on the disk; of its records nothing is read.

    Raises:
        DeepLabError: if a file of its description is missing or cannot be used.
    """
    try:
        with quiet_tfds():
            builder = tfds.builder_from_directory(folder)
        lacks = _lacks(spec, builder)
    except (PermissionError, tf.errors.OpError):
        raise  # it may be sound
    except Exception as error:
        raise _damaged(folder, _damage(folder) or _short(error)) from error
    if lacks:
        raise _damaged(folder, lacks)
    return builder


@contextlib.contextmanager
def naming_damaged_copies(spec: DatasetSpec, data_dir: str) -> Iterator[None]:
    """Runs a block in which TFDS looks at what lies in data_dir: it names no file in its errors.

    Raises:
        DeepLabError: instead of such an error, if a copy of the data set is damaged.
    """
    try:
        yield
    except (DeepLabError, PermissionError, tf.errors.OpError):
        raise
    except Exception:
        patterns = dict.fromkeys((spec.copies or f"{spec.name}/*/*", f"{spec.name}/*"))
        for pattern in patterns:
            for file in sorted(_below(data_dir, f"{pattern}/*.json")):
                open_copy(spec, file.parent)
        raise


def _below(data_dir: str, pattern: str) -> Iterator[Path]:
    """What lies in data_dir under names of a pattern."""
    # TFDS takes the path of the folder for a part of the pattern.
    return (tfds.core.Path if is_remote(data_dir) else Path)(data_dir).glob(pattern)


def _lacks(spec: DatasetSpec, builder: tfds.core.DatasetBuilder) -> str | None:
    if not builder.info.splits:
        return f"{_INFO} names no split"
    features = builder.info.features or {}
    for feature in dataclasses.astuple(spec.record_keys):
        if feature not in features:
            return f"{_FEATURES} has no {feature!r}"
    if spec.class_names is None:
        metadata: Any = builder.info.metadata
        for key in _OF_SOURCE:
            if key not in metadata.keys():  # noqa: SIM118 (only that loads it)
                return f"{_METADATA} has no {key!r}"
    return None


def _damage(folder: os.PathLike[str]) -> str | None:
    """What is wrong with the files themselves, None if nothing is."""
    for name in (_INFO, _FEATURES):
        file = tfds.core.Path(folder) / name
        if not file.exists():
            return f"{name} is missing"
        try:
            json.loads(file.read_text())
        except ValueError as error:
            return f"{name} is not JSON ({_short(error)})"
    return None


def _damaged(folder: os.PathLike[str], what: str) -> DeepLabError:
    return DeepLabError(
        f"the prepared copy {os.fspath(folder)} is damaged: {what}; delete it, and it is prepared "
        "again"
    )


def _short(error: Exception) -> str:
    return " ".join(f"{error or type(error).__name__}".split())[:_SHOWN]
