"""What can be wrong with the files of a data set, and the error that each of them becomes.

`prepare` stops at the first problem, `check` lists them all: both look with the same functions,
which raise `FileError`, and its `problem` is what goes into check.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from deeplab.errors import DeepLabError

# Kind of a problem -> what it means, in the order in which they are shown.
KINDS: dict[str, str] = {
    "unreadable": "a file that cannot be read or used",
    "missing_mask": "an image without a mask",
    "missing_image": "an image that should be there",
    "size_mismatch": "a mask of another size than its image",
    "id_out_of_range": "a mask with ids that are no classes",
    "colour_mask": "a mask that is an image in colors",
    "binary_mask": "masks that hold nothing but 0 and 255",
    "duplicate_across_splits": "an image that is in another split too",
    "palette_mask": "a mask with a palette",
    "single_class": "a mask of one class everywhere",
}


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong with a file.

    Attributes:
        kind: a key of `KINDS`.
        file: the file or folder; for prepared records DATA SET/SPLIT/ID.
        detail: what is wrong and the way out, a line without the file's name.
        is_warning: whether training is right nevertheless.
    """

    kind: str
    file: Path
    detail: str
    is_warning: bool = False


class FileError(DeepLabError):
    """A file that cannot be used.

    Attributes:
        problem: what is wrong with it.
    """

    def __init__(self, problem: Problem, message: str) -> None:
        """Keeps the problem beside the line for the user."""
        super().__init__(message)
        self.problem = problem

    def __reduce__(self) -> tuple[type[FileError], tuple[Problem, str]]:
        """Lets it travel from another process."""
        return FileError, (self.problem, str(self))


def refuse(problems: Sequence[Problem]) -> None:
    """Raises the first problem that is no warning, and says how many there are.

    Raises:
        FileError: if there is one.
    """
    errors = [problem for problem in problems if not problem.is_warning]
    if errors:
        first = errors[0]
        more = f" ({len(errors)} such problems: deeplab dataset check lists them)"
        raise FileError(first, f"{first.file} {first.detail}" + (more if len(errors) > 1 else ""))
