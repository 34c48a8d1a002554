"""What is known of a network in somebody's file, in the words of the original's flags.

Some flags are decided by the names and shapes in the file, others cannot be and get a value that is
assumed; what a user says overrides the second kind and must agree with the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from deeplab.errors import DeepLabError
from deeplab.interop.tf1.flags import DEFAULTS, PART_OF_FLAG
from deeplab.interop.tf1.network import flag_text

_ALWAYS_TOLD = ("model_variant", "num_classes")


class Finding(NamedTuple):
    """The value of a flag, and the variable that says so."""

    value: Any
    evidence: str


class Assumption(NamedTuple):
    """The value of a flag that no variable decides, and why this one."""

    value: Any
    reason: str


@dataclasses.dataclass
class Findings:
    """What is known of a network.

    Attributes:
        found: flags that names and shapes decide.
        counts: flags of which they decide no more than how many values they have.
        assumed: flags that they cannot decide.
    """

    found: dict[str, Finding] = dataclasses.field(default_factory=dict)
    counts: dict[str, Finding] = dataclasses.field(default_factory=dict)
    assumed: dict[str, Assumption] = dataclasses.field(default_factory=dict)

    def settle(
        self, given: Mapping[str, Any], *, skip: Collection[str], path: str
    ) -> dict[str, Any]:
        """The flags of the network.

        Args:
            given: what a user says, by flag.
            skip: some of `loading.PARTS`, which the file may have in another form.
            path: the file, for messages.

        Raises:
            DeepLabError: for a given flag that the file contradicts.
        """
        for name, value in given.items():
            if PART_OF_FLAG[name] in skip:
                continue
            if (finding := self.found.get(name)) and finding.value != value:
                raise _contradiction(path, name, value, flag_text(finding.value), finding)
            if (finding := self.counts.get(name)) and finding.value != len(value):
                what = f"{finding.value} of them"
                raise _contradiction(path, name, value, what, finding)
        return {
            **{name: assumption.value for name, assumption in self.assumed.items()},
            **{name: finding.value for name, finding in self.found.items()},
            **given,
        }

    def lines(self, given: Mapping[str, Any]) -> Iterator[str]:
        """What was found and what is assumed, for the user."""
        found = {name: finding.value for name, finding in self.found.items()}
        telling = [
            f"--{name}={flag_text(found[name])}"
            for name in DEFAULTS
            if name in found and (found[name] != DEFAULTS[name] or name in _ALWAYS_TOLD)
        ]
        yield f"found {' '.join(telling)}"
        for name in DEFAULTS:
            if name in self.assumed and name not in given:
                value, reason = self.assumed[name]
                yield f"assumed --{name}={flag_text(value)}: {reason}"


def _contradiction(path: str, name: str, value: Any, found: str, finding: Finding) -> DeepLabError:
    message = (
        f"{path}: --{name}={flag_text(value)} contradicts the file, which says {found} "
        f"({finding.evidence})"
    )
    if PART_OF_FLAG[name] == "logits":
        message += "; --skip=logits leaves the last layer fresh"
    return DeepLabError(message)
