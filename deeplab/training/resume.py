"""May a run be continued with these settings?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deeplab.errors import DeepLabError
from deeplab.training.config import default_settings

# The only settings that may differ from what was saved; the schedule follows train_steps.
CHANGEABLE = ("train_steps", "checkpoint_steps", "eval_steps", "profile_steps")


# What None stands for, where a data set decides and those of old runs all decided the same.
_STANDS_FOR = {"model.input_channels": 3}


def check_resumable(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], *, model_dir: str
) -> list[str]:
    """Compares what a run was told with what it is told now.

    Args:
        saved: nested settings of the run, as stored in model.json. One that did not exist when the
            run began has its default.
        wanted: the same of this call.
        model_dir: for the message.

    Returns:
        One line for each change that is allowed.

    Raises:
        DeepLabError: for a change that is not; the message names all of them.
    """
    after = flat(wanted)
    missing = {name: value for name, value in flat(default_settings()).items() if name in after}
    before = {**missing, **flat(saved)}
    changed = {
        name: f"{name} was {before.get(name)!r}, is {after.get(name)!r}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
    refused = [line for name, line in changed.items() if name not in CHANGEABLE]
    if refused:
        raise DeepLabError(
            f"cannot resume {model_dir}: {'; '.join(refused)} (to start a new run from its "
            "weights: --init_from)"
        )
    return [changed[name] for name in CHANGEABLE if name in changed]


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name, such as "model.backbone", in the form that JSON gives them."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found.update(flat(value, f"{name}."))
        else:
            # JSON knows no tuples.
            found[name] = list(value) if isinstance(value, tuple) else value
    for name, standing in _STANDS_FOR.items():
        if found.get(name, standing) is None:
            found[name] = standing
    return found
