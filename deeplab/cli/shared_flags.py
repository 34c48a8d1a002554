"""Flags that several commands have, so that they read the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags

from deeplab.cli.command import UsageError
from deeplab.errors import DeepLabError
from deeplab.files import check_writable
from deeplab.paths import expand_home


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


def define_path(values: flags.FlagValues, name: str, text: str) -> None:
    """A flag that is a file or folder."""
    flags.DEFINE(AbsolutePath(), name, None, text, values)


def define_paths(values: flags.FlagValues, name: str, text: str) -> None:
    """A repeatable flag of files that may be looked up elsewhere, or patterns of files."""
    flags.DEFINE_multi(HomePath(), flags.ArgumentSerializer(), name, [], text, values)


def define_gin(values: flags.FlagValues) -> None:
    """`--gin_file` and `--gin_bindings`: the experiment."""
    define_paths(
        values,
        "gin_file",
        "a gin file, looked up in the working directory, then among the package's",
    )
    flags.DEFINE_multi_string(
        "gin_bindings",
        [],
        "a setting that overrides the files, such as TRAIN_STEPS=60; a text needs quotes that the "
        "shell leaves: \"BACKBONE='xception_65'\"",
        flag_values=values,
    )


def define_data(values: flags.FlagValues) -> None:
    """`--data_dir` and `--source_dir`: where the data set is."""
    define_path(
        values,
        "data_dir",
        "folder of prepared data sets (else what the run remembers, else $TFDS_DATA_DIR, else "
        "~/tensorflow_datasets)",
    )
    define_path(
        values,
        "source_dir",
        "folder of the raw images and labels, for data sets that are prepared from one; it is "
        "only read",
    )


def define_model_dir(values: flags.FlagValues, text: str) -> None:
    """`--model_dir`: the folder of a run."""
    define_path(values, "model_dir", text)


def define_checkpoint(values: flags.FlagValues) -> None:
    """`--checkpoint`: which of a run's weights."""
    text = "latest, best, or a checkpoint's prefix"
    flags.DEFINE(HomePath(), "checkpoint", "latest", text, values)


def define_output_stride(values: flags.FlagValues) -> None:
    """`--output_stride`: another one than the model was trained with."""
    flags.DEFINE_enum(
        "output_stride",
        None,
        ["8", "16", "32"],
        "input pixels per pixel of the backbone's last features; without it, as trained",
        flag_values=values,
    )


def define_inference(values: flags.FlagValues) -> None:
    """`--eval_scales` and `--flip`: averaging over resized and mirrored images."""
    flags.DEFINE_multi_string(
        "eval_scales",
        ["1"],
        "scales of the image whose probabilities are averaged, such as 0.5,0.75,1,1.25",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "flip", False, "average with the prediction of the mirrored image", flag_values=values
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


def size(value: str, flag: str) -> tuple[int, int]:
    """Height and width in pixels from "N" or "H,W".

    Raises:
        UsageError: if it is neither.
    """
    words = value.split(",")
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise UsageError(
            f"flag {flag}={value}: expected N or H,W in pixels, such as 513 or 361,481"
        )
    return numbers[0], numbers[-1]


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
