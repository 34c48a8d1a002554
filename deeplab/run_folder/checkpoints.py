"""Checkpoints of a run: the newest few and the best, in the format of tf.train.Checkpoint.

Variables are stored by their stable paths (`variables_by_path`). A checkpoint counts once the state
file `checkpoint` names it, which is replaced last and atomically: whatever a crash leaves behind,
the state file names complete checkpoints only. Nothing in a checkpoint depends on the clock or on
how often a run was restarted.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

from deeplab import files
from deeplab.errors import DeepLabError

CHECKPOINT_FOLDER = "checkpoints"
BEST_FOLDER = "best"
_PREFIX = re.compile(r"^ckpt-(\d+)$")

Groups = Mapping[str, Mapping[str, keras.Variable | tf.Variable]]


class Checkpoint(NamedTuple):
    """A stored checkpoint: its prefix (path without .index) and the step it was made at."""

    prefix: str
    step: int


def save_checkpoint(folder: str | Path, step: int, groups: Groups, *, keep: int) -> Checkpoint:
    """Writes `ckpt-<step>` into a folder and names it the latest there.

    Args:
        folder: made when missing.
        step: training step.
        groups: variables by group ("model", "optimizer") and stable path.
        keep: how many of the newest stay; older ones are deleted after the new one counts.

    Raises:
        DeepLabError: if the folder cannot be written.
    """
    folder = files.make_directory(folder)
    kept = [c for c in list_checkpoints(folder) if c.step < step][-(keep - 1) :] if keep > 1 else []
    prefix = str(folder / f"ckpt-{step}")
    try:
        _trackable(groups).write(prefix)
    except (OSError, tf.errors.OpError) as error:
        raise DeepLabError(f"cannot write the checkpoint {prefix}: {_brief(error)}") from error
    names = [Path(c.prefix).name for c in kept] + [f"ckpt-{step}"]
    files.write_text(folder / "checkpoint", _state(names))
    for path in folder.glob("ckpt-*"):
        if path.name.split(".")[0] not in names:
            path.unlink()
    return Checkpoint(prefix, step)


def _state(names: list[str]) -> str:
    # The text format of tf.train.get_checkpoint_state, without its time stamps.
    lines = [f'model_checkpoint_path: "{names[-1]}"']
    lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
    return "\n".join(lines) + "\n"


def list_checkpoints(folder: str | Path) -> list[Checkpoint]:
    """The checkpoints that a folder's state file names, oldest first.

    Without a state file, those that are complete: it may have been lost, or the first save was cut
    short right before it.

    Raises:
        DeepLabError: if there is a state file, but a damaged one: a run must not begin anew on top
            of its checkpoints.
    """
    file = Path(folder) / "checkpoint"
    try:
        state = tf.train.get_checkpoint_state(str(folder))
    except ValueError as error:
        raise DeepLabError(f"{file} is damaged: it names no checkpoint") from error
    if state is None and file.is_file():
        raise DeepLabError(f"{file} is damaged: it names no checkpoint")
    if state is None:
        prefixes = [str(path.with_suffix("")) for path in Path(folder).glob("ckpt-*.index")]
    else:
        prefixes = list(state.all_model_checkpoint_paths)
    found = []
    for prefix in prefixes:
        match = _PREFIX.match(Path(prefix).name)
        if match and Path(f"{prefix}.index").is_file():
            found.append(Checkpoint(prefix, int(match.group(1))))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def find_checkpoint(model_dir: str | Path, checkpoint: str = "latest") -> Checkpoint:
    """The checkpoint that a word or a path means.

    Args:
        model_dir: folder of the model.
        checkpoint: "latest", "best", or the prefix of one (".index" may follow).

    Raises:
        DeepLabError: if there is none.
    """
    folder = Path(model_dir) / CHECKPOINT_FOLDER
    if checkpoint in ("latest", "best"):
        found = list_checkpoints(folder / BEST_FOLDER if checkpoint == "best" else folder)
        if found:
            return found[-1]
        if checkpoint == "best" and list_checkpoints(folder):
            raise DeepLabError(
                "no best checkpoint: this run never evaluated; use --checkpoint=latest"
            )
        raise DeepLabError(f"{model_dir} has no checkpoint yet")
    prefix = checkpoint.removesuffix(".index")
    match = _PREFIX.match(Path(prefix).name)
    if match and Path(f"{prefix}.index").is_file():
        return Checkpoint(prefix, int(match.group(1)))
    names = [Path(c.prefix).name for c in list_checkpoints(folder)]
    raise DeepLabError(
        f"no checkpoint {checkpoint!r}; choices: latest, best, or the path of one of "
        f"{', '.join(names) or '(none)'} in {folder}"
    )


def restore_checkpoint(checkpoint: Checkpoint, groups: Groups) -> None:
    """Reads variables back; every one must be there with its shape.

    Raises:
        DeepLabError: if the checkpoint is damaged or of another architecture.
    """
    shapes = stored_shapes(checkpoint)
    for group, variables in groups.items():
        for path, variable in variables.items():
            shape = shapes.get((group, path))
            if shape != tuple(variable.shape):
                found = "is missing" if shape is None else f"has the shape {list(shape)}"
                raise DeepLabError(
                    f"{checkpoint.prefix} is of another architecture: {path} {found}, "
                    f"this model has {list(variable.shape)}"
                )
    try:
        status = _trackable(groups).read(checkpoint.prefix)
        status.assert_existing_objects_matched()
        # What is left over (the optimizer, for a model alone) is no reason for a warning.
        status.expect_partial()
    except (AssertionError, IndexError, tf.errors.OpError, ValueError) as error:
        # IndexError is what TensorFlow makes of OUT_OF_RANGE: the file is too short.
        raise DeepLabError(
            f"cannot read the checkpoint {checkpoint.prefix}: {_brief(error)}"
        ) from error


def stored_shapes(checkpoint: Checkpoint) -> dict[tuple[str, str], tuple[int, ...]]:
    """Shapes of the stored variables, by group and path.

    Raises:
        DeepLabError: if the checkpoint cannot be read.
    """
    try:
        reader = tf.train.load_checkpoint(checkpoint.prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise DeepLabError(f"cannot read the checkpoint {checkpoint.prefix}") from error
    shapes = {}
    for key, shape in reader.get_variable_to_shape_map().items():
        parts = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").split("/")
        if len(parts) == 2:
            shapes[parts[0], parts[1].replace(".S", "/")] = tuple(shape)
    return shapes


def _brief(error: Exception) -> str:
    """The message without TensorFlow's remarks about the operation."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", " ".join(str(error).split()))
    return textwrap.shorten(text, 200, placeholder=" ...")


def _trackable(groups: Groups) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(
        **{
            group: {
                path: getattr(v, "value", v) if isinstance(v, keras.Variable) else v
                for path, v in variables.items()
            }
            for group, variables in groups.items()
        }
    )
