"""Which networks another library has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deeplab.errors import DeepLabError
from deeplab.models import ModelConfig

# Fields whose defaults depend on others -> what they come to.
_RESOLVED: Mapping[str, Callable[[ModelConfig], Any]] = {
    "atrous_rates": lambda config: config.resolved_atrous_rates,
    "decoder": lambda config: bool(config.resolved_decoder_strides),
    "input_channels": lambda config: config.resolved_input_channels,
}


def require(config: ModelConfig, wanted: Mapping[str, Any], *, library: str) -> None:
    """Checks fields of a network.

    Args:
        config: the network.
        wanted: field -> the only value that the library has.
        library: its name, for the message.

    Raises:
        DeepLabError: naming the first field with another value.
    """
    for field, value in wanted.items():
        found = _RESOLVED[field](config) if field in _RESOLVED else getattr(config, field)
        if found != value:
            raise refused(field, found, f"{value!r} alone", library=library)


def refused(field: str, found: object, choices: str, *, library: str) -> DeepLabError:
    """The error for a field with a value that a library does not have."""
    return DeepLabError(f"{library} has no network with {field} {found!r}: {choices}")
