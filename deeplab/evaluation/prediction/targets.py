"""What is to be done: each input, and the files that it becomes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from deeplab.errors import DeepLabError
from deeplab.evaluation.prediction.inputs import Input
from deeplab.evaluation.prediction.saves import SAVES, Medium, Save


class Job(NamedTuple):
    """An input and the files that it becomes, one for each kind of result."""

    input: Input
    medium: Medium
    targets: tuple[Path, ...]


def make_job(source: Input, medium: Medium, saves: Sequence[Save], output_dir: Path) -> Job:
    """Names the results of an input.

    Raises:
        DeepLabError: if there is no such result of this kind of inputs.
    """
    # Not with_suffix: a name may hold dots of its own.
    base = output_dir / source.relative
    targets = []
    for save in saves:
        if medium not in save.extensions:
            names = [name for name, other in SAVES.items() if medium in other.extensions]
            raise DeepLabError(
                f"{source.path} is a {medium}, of which there is no result {save.suffix[1:]!r}; "
                f"choices: {', '.join(names)}"
            )
        targets.append(base.with_name(base.name + save.suffix + save.extensions[medium]))
    return Job(source, medium, tuple(targets))


def unfinished(jobs: Sequence[Job], *, overwrite: bool, skip_existing: bool) -> list[Job]:
    """The jobs that are to be done: all of them, but for those that are finished and skipped.

    Raises:
        DeepLabError: if results would collide, replace an image, or replace older results without
            being told to.
    """
    _check_collisions(jobs)
    existing = list(_existing(jobs))
    if skip_existing:
        finished = set(existing)
        return [job for job in jobs if not finished.issuperset(job.targets)]
    if existing and not overwrite:
        raise DeepLabError(
            f"{len(existing)} results exist already, the first is {existing[0]}; use --overwrite, "
            "--skip_existing or another folder"
        )
    return list(jobs)


def _check_collisions(jobs: Sequence[Job]) -> None:
    sources = {job.input.path.resolve() for job in jobs}
    owners: dict[Path, Path] = {}
    for job in jobs:
        for target in job.targets:
            other = owners.setdefault(target, job.input.path)
            if other != job.input.path:
                raise DeepLabError(
                    f"{other} and {job.input.path} would both be written as {target}"
                )
            if target.resolve() in sources:
                raise DeepLabError(
                    f"the result {target} of {job.input.path} would replace an image; give "
                    "another output_dir"
                )


def _existing(jobs: Sequence[Job]) -> Iterator[Path]:
    for job in jobs:
        for target in job.targets:
            if os.path.exists(target):  # unlike Path's, also if the name is too long
                yield target
