"""Checkpoints of a run: the newest few and the best, in the format of tf.train.Checkpoint.

Variables are stored by their stable paths (`variables_by_path`). A checkpoint counts once the state
file `checkpoint` names it, which is replaced last and atomically: whatever a crash leaves behind,
the state file names complete checkpoints only. `recovery` is for those that were damaged later.
Nothing in a checkpoint depends on the clock or on how often a run was restarted.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from deeplab import files
from deeplab.errors import DeepLabError
from deeplab.paths import for_reading

CHECKPOINT_FOLDER = "checkpoints"
BEST_FOLDER = "best"
STATE_FILE = "checkpoint"
# IndexError is what TensorFlow makes of OUT_OF_RANGE: the file is too short.
READ_ERRORS = (IndexError, tf.errors.OpError, ValueError)
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
    before = list_checkpoints(folder)
    kept = [c for c in before if c.step < step][-(keep - 1) :] if keep > 1 else []
    new = Checkpoint(str(folder / f"ckpt-{step}"), step)
    try:
        _trackable(groups).write(new.prefix)
        # On the disk before the state file names it: a power cut must not leave the name alone.
        for path in folder.glob(f"ckpt-{step}.*"):
            with path.open("rb") as file:
                files.to_disk(file)
        name_checkpoints(folder, [*kept, new])
    except (DeepLabError, OSError, tf.errors.OpError) as error:
        # A full disk is to have its room back, and the checkpoints of before stay what they were.
        remove_unnamed(folder, before)
        raise DeepLabError(f"cannot write the checkpoint {new.prefix}: {brief(error)}") from error
    remove_unnamed(folder, [*kept, new])
    return new


def name_checkpoints(folder: Path, checkpoints: Sequence[Checkpoint]) -> None:
    """Writes the state file; the last one is the latest."""
    names = [Path(checkpoint.prefix).name for checkpoint in checkpoints]
    # The text format of tf.train.get_checkpoint_state, without its time stamps.
    lines = [f'model_checkpoint_path: "{names[-1]}"']
    lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
    files.write_text(folder / STATE_FILE, "\n".join(lines) + "\n")


def remove_unnamed(folder: Path, checkpoints: Sequence[Checkpoint]) -> None:
    """Removes all other checkpoints, and what was left of saving one when the process ended."""
    names = {Path(checkpoint.prefix).name for checkpoint in checkpoints}
    for path in folder.glob("ckpt-*"):
        # TensorFlow collects the parts of a checkpoint in a folder beside it.
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.split(".")[0] not in names:
            path.unlink(missing_ok=True)


def list_checkpoints(folder: str | Path) -> list[Checkpoint]:
    """The checkpoints that a folder's state file names and that are there, oldest first.

    Without a readable state file, those whose index is there: it may have been lost, or the first
    save was cut short right before it.

    Raises:
        DeepLabError: if there is a state file, but a damaged one, and no checkpoint: a run must not
            begin anew where another one was.
    """
    return [c for c in named_checkpoints(folder) if Path(f"{c.prefix}.index").is_file()]


def named_checkpoints(folder: str | Path) -> list[Checkpoint]:
    """Like `list_checkpoints`, with those that the state file names but that are not there."""
    file = Path(folder) / STATE_FILE
    try:
        state = tf.train.get_checkpoint_state(str(folder))
    except ValueError:
        state = None
    if state is None:
        prefixes = [str(path.with_suffix("")) for path in Path(folder).glob("ckpt-*.index")]
        if file.is_file() and not prefixes:
            raise DeepLabError(f"{file} is damaged, and there is no checkpoint beside it")
    else:
        prefixes = list(state.all_model_checkpoint_paths)
    matches = [(prefix, _PREFIX.match(Path(prefix).name)) for prefix in prefixes]
    found = [Checkpoint(prefix, int(match.group(1))) for prefix, match in matches if match]
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
    with _reading(f"the checkpoint {checkpoint.prefix}"):
        status = _trackable(groups).read(for_reading(checkpoint.prefix))
        status.assert_existing_objects_matched()
        # What is left over (the optimizer, for a model alone) is no reason for a warning.
        status.expect_partial()


def stored_shapes(checkpoint: Checkpoint) -> dict[tuple[str, str], tuple[int, ...]]:
    """Shapes of the stored variables, by group and path.

    Raises:
        DeepLabError: if the checkpoint cannot be read.
    """
    with _reading(f"the checkpoint {checkpoint.prefix}"):
        reader = tf.train.load_checkpoint(for_reading(checkpoint.prefix))
    shapes = {}
    for key, shape in reader.get_variable_to_shape_map().items():
        parts = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").split("/")
        if len(parts) == 2:
            shapes[parts[0], parts[1].replace(".S", "/")] = tuple(shape)
    return shapes


def read_variable(checkpoint: Checkpoint, group: str, path: str) -> np.ndarray:
    """The value of a stored variable.

    Raises:
        DeepLabError: if the checkpoint cannot be read or has no such variable.
    """
    name = path.replace("/", ".S")
    with _reading(f"{path} of the checkpoint {checkpoint.prefix}"):
        reader = tf.train.load_checkpoint(for_reading(checkpoint.prefix))
        value: np.ndarray = reader.get_tensor(f"{group}/{name}/.ATTRIBUTES/VARIABLE_VALUE")
    return value


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    """Names what cannot be read, and why."""
    try:
        yield
    except (AssertionError, *READ_ERRORS) as error:
        raise DeepLabError(f"cannot read {what}: {brief(error)}") from error


def brief(error: Exception) -> str:
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
