"""Flags that several commands have, so that they read the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from deeplab.cli.command import UsageError
from deeplab.errors import DeepLabError
from deeplab.files import check_writable
from deeplab.paths import expand_home

_AS_TEXT: flags.ArgumentSerializer[Any] = flags.ArgumentSerializer()


class HomePath(flags.ArgumentParser[str]):
    """A path or a name; `~` is the home folder, which shells leave in `--flag=~/x`."""

    def parse(self, argument: str) -> str:
        """Raises `DeepLabError`, a `ValueError`, if nobody knows the home folder."""
        return expand_home(argument)


class AbsolutePath(HomePath):
    """A path on a disk, which becomes absolute, or on a remote file system."""

    def parse(self, argument: str) -> str:
        """Leaves an empty value, which every command refuses, empty."""
        if not argument or "://" in argument:
            return argument
        return os.path.abspath(super().parse(argument))


class LocalPathOrName(AbsolutePath):
    """A file or folder, the prefix of a checkpoint, or a name."""

    def parse(self, argument: str) -> str:
        """Leaves what is not there as it is: it may be a name."""
        path = super().parse(argument)
        is_there = os.path.exists(path) or os.path.exists(f"{path}.index")
        return path if is_there else HomePath.parse(self, argument)


def path(name: str, text: str) -> flags.Flag[str]:
    """A flag that is a file or folder."""
    return flags.Flag(AbsolutePath(), _AS_TEXT, name, None, text)


def path_or_name(name: str, text: str) -> flags.Flag[str]:
    """A flag that is a file or folder, or a name that means one."""
    return flags.Flag(LocalPathOrName(), _AS_TEXT, name, None, text)


def paths(name: str, text: str) -> flags.Flag[list[str]]:
    """A repeatable flag of files that may be looked up elsewhere, or patterns of files."""
    return flags.MultiFlag(HomePath(), _AS_TEXT, name, [], text)


def word(name: str, text: str) -> flags.Flag[str]:
    """A flag of any text, without a default."""
    return flags.Flag(flags.ArgumentParser(), _AS_TEXT, name, None, text)


def words(name: str, default: list[str], text: str) -> flags.Flag[list[str]]:
    """A repeatable flag of any texts."""
    return flags.MultiFlag(flags.ArgumentParser(), _AS_TEXT, name, default, text)


def choices(name: str, default: list[str], text: str, names: list[str]) -> flags.Flag[list[str]]:
    """A repeatable flag of some of the names."""
    return flags.MultiFlag(flags.EnumParser(names), _AS_TEXT, name, default, text)


def integer(name: str, default: int | None, text: str, minimum: int) -> flags.Flag[int]:
    """A flag that is a whole number, `minimum` or more."""
    return flags.Flag(flags.IntegerParser(minimum), _AS_TEXT, name, default, text)


def switch(name: str, text: str) -> flags.Flag[bool]:
    """A flag that is off unless it is given."""
    return flags.BooleanFlag(name, False, text)


def output_stride_flag(default: str = "as trained") -> flags.Flag[str]:
    """`--output_stride`; `default` says in words what it is without the flag."""
    text = f"input pixels per pixel of the backbone's last features; without it, {default}"
    return flags.EnumFlag("output_stride", None, text, ["8", "16", "32"])


# The experiment.
GIN = (
    paths("gin_file", "a gin file, looked up in the working directory, then among the package's"),
    words(
        "gin_bindings",
        [],
        "a setting that overrides the files, such as TRAIN_STEPS=60; a text needs quotes that the "
        "shell leaves: \"BACKBONE='xception_65'\"",
    ),
)

# Where the data set is.
DATA = (
    path(
        "data_dir",
        "folder of prepared data sets (else what the run remembers, else $TFDS_DATA_DIR, else "
        "~/tensorflow_datasets)",
    ),
    path(
        "source_dir",
        "folder of the raw images and labels, for data sets that are prepared from one; it is "
        "only read",
    ),
)

# What `deeplab export` made, instead of the folder of a run.
EXPORTED = (
    path("saved_model", "folder of an exported SavedModel, instead"),
    path("litert", "an exported .tflite file, instead"),
    path("onnx", "an exported .onnx file, instead"),
)

# The flags that say which network is used; one of them is given.
MODELS = ("model_dir", *(flag.name for flag in EXPORTED))

# Which of a run's weights.
CHECKPOINT: flags.Flag[str] = flags.Flag(
    HomePath(), _AS_TEXT, "checkpoint", "latest", "latest, best, or a checkpoint's prefix"
)

# Averaging over resized and mirrored images.
INFERENCE = (
    words(
        "eval_scales",
        ["1"],
        "scales of the image whose probabilities are averaged, such as 0.5,0.75,1,1.25",
    ),
    switch("flip", "average with the prediction of the mirrored image"),
)

# Large images window by window.
WINDOW = (
    word("window", "N or H,W: see images by windows of this size, in pixels; without it, whole"),
    word(
        "overlap",
        "N or H,W: pixels that neighboring windows overlap by, at least; without it, a quarter of "
        "the window",
    ),
)


def output_stride(values: flags.FlagValues) -> int | None:
    """The value of `--output_stride`."""
    return None if values.output_stride is None else int(values.output_stride)


def eval_scales(values: flags.FlagValues) -> tuple[float, ...]:
    """The scales of `--eval_scales`, given with commas, by repeating the flag, or both.

    Raises:
        UsageError: if one is not a positive number.
    """
    return tuple(
        _positive(word, "--eval_scales")
        for group in values.eval_scales
        for word in group.split(",")
    )


def size(values: flags.FlagValues, name: str, *, minimum: int = 1) -> tuple[int, int] | None:
    """Height and width in pixels of a flag that is "N" or "H,W"; None if it is not given.

    Raises:
        UsageError: if it is neither.
    """
    value = values[name].value
    if value is None:
        return None
    words = value.split(",")
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < minimum:
        raise UsageError(
            f"flag --{name}={value}: expected N or H,W in pixels, such as 513 or 361,481"
        )
    return numbers[0], numbers[-1]


def window(values: flags.FlagValues) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The values of `--window` and `--overlap`.

    Raises:
        UsageError: if one is no size, or an overlap has no window.
    """
    if values.overlap is not None and values.window is None:
        raise UsageError("flag --overlap needs --window")
    return size(values, "window"), size(values, "overlap", minimum=0)


def require_together(values: flags.FlagValues, *names: str) -> None:
    """Flags that mean something only in company.

    Raises:
        UsageError: if some of them are given and some are not.
    """
    missing = [name for name in names if not values[name].value]
    if missing and len(missing) < len(names):
        given = [name for name in names if name not in missing]
        raise UsageError(f"flag --{given[0]} needs --{missing[0]}")


def require_one_of(values: flags.FlagValues, names: Sequence[str]) -> None:
    """Flags of which exactly one must be given.

    Raises:
        UsageError: if none or several are.
    """
    given = [name for name in names if values[name].value]
    choices = " or ".join(f"--{name}" for name in names)
    if not given:
        raise UsageError(f"missing flag {choices}")
    if len(given) > 1:
        raise UsageError(f"flags {' and '.join(f'--{name}' for name in given)}: give only one")


def require_for_export(values: flags.FlagValues, *names: str) -> None:
    """Flags of which one must be given with an exported file, which remembers no run.

    Raises:
        UsageError: if none is.
    """
    if not any(values[name].value for name in names):
        given = next(flag.name for flag in EXPORTED if values[flag.name].value)
        raise UsageError(f"flag --{given} needs {' or '.join(f'--{name}' for name in names)}")


def require_writable(path: str) -> None:
    """Makes sure that a folder exists or can be made, and leaves nothing behind.

    Asked before anything slow is started. Trying is the only sure test.

    Raises:
        DeepLabError: if it cannot be made or written to, or is on a remote file system.
    """
    if "://" in path:
        raise DeepLabError(f"cannot write to {path}: only --data_dir may be remote")
    check_writable(path)


def _positive(word: str, flag: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise UsageError(f"flag {flag}: {word!r} is not a positive number")
    return number
