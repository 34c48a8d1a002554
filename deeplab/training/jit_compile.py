"""Whether XLA compiles the training step, and what is said when it cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from deeplab.errors import DeepLabError
from deeplab.training.config import TrainConfig

# In errors about a function that XLA was to compile: an attribute of it, or the compiler's device.
_SIGNS = ("_XlaMustCompile", "XLA_")


def compiles(config: TrainConfig, strategy: tf.distribute.Strategy) -> bool:
    """Whether the step of a replica is given to XLA as a whole.

    On a TPU the answer is no: its strategy compiles whatever it runs.

    Raises:
        DeepLabError: if the setting is not possible with these devices.
    """
    wanted = config.jit_compile
    if isinstance(strategy, tf.distribute.TPUStrategy):
        if wanted is False:
            raise DeepLabError("jit_compile is False, but a TPU runs compiled steps alone")
        return False
    replicas = strategy.num_replicas_in_sync
    if wanted == "auto":
        return replicas == 1 and bool(tf.config.list_logical_devices("GPU"))
    if wanted and replicas > 1:
        raise DeepLabError(
            f"jit_compile is True, but there are {replicas} replicas, over which XLA cannot sum; "
            "use 'auto' or False"
        )
    return bool(wanted)


@contextlib.contextmanager
def compilation_explained(config: TrainConfig) -> Iterator[None]:
    """Turns an error of XLA, which comes before the first step, into a line with the setting."""
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        text = " ".join(str(error).split())
        if not any(sign in text for sign in _SIGNS):
            raise
        raise DeepLabError(
            f"jit_compile is {config.jit_compile!r}, but XLA cannot compile this step; False "
            f"does without it ({text[:300]})"
        ) from error
