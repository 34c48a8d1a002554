"""A clear message where TensorFlow has a page about allocators."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from deeplab.errors import DeepLabError

_TENSORFLOWS = "ResourceExhaustedError"


def inference_advice() -> str:
    """What makes a network without training take less memory."""
    return (
        "less take a --window, smaller images, fewer of them at once (DataConfig.eval_batch_size), "
        "--eval_scales up to 1, a larger --output_stride"
    )


@contextlib.contextmanager
def explained(what: str, advice: Callable[[], str]) -> Iterator[None]:
    """Turns running out of memory into one line.

    Args:
        what: what was being done, such as "evaluating image a.jpg of 2048x1024 pixels".
        advice: what to change; only called when it is needed.

    Raises:
        DeepLabError: instead of TensorFlow's and Python's errors about memory.
    """
    try:
        yield
    except Exception as error:
        # By its name: not everything that runs a network needs TensorFlow.
        if not (isinstance(error, MemoryError) or type(error).__name__ == _TENSORFLOWS):
            raise
        # TensorFlow has the same error for a full disk.
        if "No space left" in str(error):
            raise DeepLabError(f"the disk is full, while {what}") from error
        raise DeepLabError(f"out of memory while {what}; {advice()}") from error
