"""Checks of setting values, for frozen dataclasses that a configuration file fills.

A configuration file checks no types: a quoted number arrives as text, `True` passes for 1. Each
function returns the value, so that it can stand in an assignment, and raises a `DeepLabError` that
names the setting, the value and what it should be.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from deeplab.errors import DeepLabError, unknown_name


def integer(
    name: str, value: object, *, minimum: int | None = None, maximum: int | None = None
) -> int:
    """A whole number (not a bool, not text), at least `minimum` and at most `maximum`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise DeepLabError(f"{name} must be a whole number, not {value!r}")
    number(name, value, minimum=minimum, maximum=maximum)
    return value


def number(
    name: str,
    value: object,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """A finite number, at least `minimum`, at most `maximum`, above `above` and below `below`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DeepLabError(f"{name} must be a number, not {value!r}")
    if minimum is not None and value < minimum:
        raise DeepLabError(f"{name} must be at least {minimum}, not {value}")
    if maximum is not None and value > maximum:
        raise DeepLabError(f"{name} must be at most {maximum}, not {value}")
    if above is not None and value <= above:
        raise DeepLabError(f"{name} must be above {above}, not {value}")
    if below is not None and value >= below:
        raise DeepLabError(f"{name} must be below {below}, not {value}")
    return value


def flag(name: str, value: object) -> bool:
    """True or False, nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise DeepLabError(f"{name} must be True or False, not {value!r}")
    return value


def text(name: str, value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise DeepLabError(f"{name} must be a text, not {value!r}")
    return value


def one_of(name: str, value: object, names: Iterable[str]) -> str:
    """One of the given names."""
    names = list(names)
    if not isinstance(value, str) or value not in names:
        raise unknown_name(name, value, names)
    return value


def one_of_numbers(name: str, value: object, numbers: Iterable[int]) -> int:
    """One of the given whole numbers."""
    numbers = list(numbers)
    if isinstance(value, bool) or not isinstance(value, int) or value not in numbers:
        choices = ", ".join(map(str, numbers))
        raise DeepLabError(f"{name} must be one of the numbers {choices}, not {value!r}")
    return value


def integers(name: str, value: object, *, minimum: int | None = None) -> tuple[int, ...]:
    """A sequence of whole numbers, as a tuple."""
    if not isinstance(value, tuple | list):
        raise DeepLabError(f"{name} must be a list of whole numbers, not {value!r}")
    return tuple(integer(name, item, minimum=minimum) for item in value)


def names(name: str, value: object, choices: Iterable[str] | None = None) -> tuple[str, ...]:
    """A sequence of different texts, as a tuple; where there are choices, each must be one."""
    # One text is a sequence too, of its letters.
    if not isinstance(value, tuple | list):
        raise DeepLabError(f"{name} must be a list of names, such as ('a', 'b'), not {value!r}")
    for item in value:
        if choices is None:
            text(name, item)
        else:
            one_of(name, item, choices)
    if len(set(value)) != len(value):
        raise DeepLabError(f"{name} names something twice: {value!r}")
    return tuple(value)


def num_classes(value: int | None, found: int, source: str) -> int:
    """The class count of `source`, a data set; `value`, unless it is None, must be the same."""
    if value not in (None, found):
        raise DeepLabError(
            f"num_classes is {value}, but {source} has {found} classes; NUM_CLASSES = None takes "
            "the data set's"
        )
    return found


def input_channels(value: int | None, found: int, source: str) -> int:
    """The channels of the images of `source`, a data set; `value` likewise."""
    if value not in (None, found):
        raise DeepLabError(
            f"input_channels is {value}, but the images of {source} have {found} channels; None "
            "takes the data set's"
        )
    return found


def settings_are_read(
    config: Any, readers: Mapping[str, Collection[str]], chosen: Collection[str]
) -> None:
    """No setting of a dataclass was changed while nothing that is chosen reads it.

    Args:
        config: the settings.
        readers: what reads a setting, by the name of the setting; one without readers is always
            read.
        chosen: what the settings choose.
    """
    for field in dataclasses.fields(config):
        value, meant_for = getattr(config, field.name), readers.get(field.name)
        if meant_for and value != field.default and not set(meant_for) & set(chosen):
            others = f", not for {' and '.join(map(repr, chosen))}" if chosen else ""
            raise DeepLabError(
                f"{field.name} is {value!r}, but it has no effect: it is for "
                f"{' and '.join(map(repr, meant_for))}{others}"
            )
