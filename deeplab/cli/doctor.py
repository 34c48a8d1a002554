"""`deeplab doctor`: does this installation work, and on what?"""

from __future__ import annotations

from absl import flags

from deeplab.cli.command import Command
from deeplab.errors import DeepLabError


def _run(values: flags.FlagValues) -> int:
    from deeplab.doctor import examine

    report, problems = examine()
    print(report)
    if problems:
        raise DeepLabError("; ".join(problems))
    print("\nno problem found")
    return 0


COMMAND = Command(
    name="doctor",
    summary="Prints versions, devices and threads, and what is known not to work together.",
    example="deeplab doctor",
    own_flags=(),
    run=_run,
)
