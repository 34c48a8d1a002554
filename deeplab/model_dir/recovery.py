"""Continuing after the worst: damaged checkpoints, files that a killed process left behind."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from deeplab import files
from deeplab.errors import DeepLabError
from deeplab.model_dir.checkpoints import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    READ_ERRORS,
    Checkpoint,
    brief,
    name_checkpoints,
    named_checkpoints,
    remove_unnamed,
)
from deeplab.paths import for_reading


class Recovered(NamedTuple):
    """Where a run stands.

    Attributes:
        latest: the newest checkpoint that can be read; None for a run without any.
        lines: what the user should know of those that cannot.
    """

    latest: Checkpoint | None
    lines: tuple[str, ...] = ()


def recover(model_dir: str | Path) -> Recovered:
    """Finds the newest good checkpoint of a run, and tidies up what an accident left.

    For the trainer alone, which holds the folder's lock. Newer checkpoints that cannot be read are
    no longer named by the state file; the next save removes them.

    Raises:
        DeepLabError: if there are checkpoints and none of them can be read.
    """
    folder = Path(model_dir) / CHECKPOINT_FOLDER
    for place in (Path(model_dir), folder, folder / BEST_FOLDER):
        files.remove_leftovers(place)
    named = named_checkpoints(folder)
    damaged: list[tuple[str, str]] = []
    while named and (reason := damage(named[-1])):
        damaged.append((Path(named.pop().prefix).name, reason))
    if damaged and not named:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in damaged)
        raise DeepLabError(
            f"no checkpoint in {folder} can be read ({reasons}); bring its files back, or begin "
            "anew in another --model_dir"
        )
    if not named:
        return Recovered(None)
    if damaged:
        name_checkpoints(folder, named)
    else:
        remove_unnamed(folder, named)
    good = Path(named[-1].prefix).name
    lines = (
        f"checkpoint {name} is damaged ({reason}): continuing from {good}"
        for name, reason in damaged
    )
    return Recovered(named[-1], tuple(lines))


def damage(checkpoint: Checkpoint) -> str | None:
    """Why a checkpoint cannot be read; None if it can.

    Reads all of it, which checks the checksum that TensorFlow stores with each variable.
    """
    try:
        reader = tf.train.load_checkpoint(for_reading(checkpoint.prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except READ_ERRORS as error:
        return brief(error)
    return None
