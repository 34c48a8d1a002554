"""What the inputs of every medium have in common: how they are seen, and what becomes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deeplab.data.files.problems import FileError
from deeplab.evaluation.prediction.saves import Classes, Save
from deeplab.evaluation.prediction.targets import Job
from deeplab.out_of_memory import explained, inference_advice
from deeplab.runtimes.padding import TooLarge
from deeplab.runtimes.predictor import Predictor
from deeplab.runtimes.runtime import ClassIds
from deeplab.runtimes.windows import Windows, windowed


@dataclasses.dataclass(frozen=True)
class Work:
    """A network and what is wanted of it.

    Attributes:
        network: sees images whole.
        windows: how they are cut; None: not at all.
        channels: of the images.
        classes: that the network tells apart.
        saves: the kinds of results.
        batch_size: how many images of one size are seen at once.
    """

    network: Predictor
    windows: Windows | None
    channels: int
    classes: Classes
    saves: Sequence[Save]
    batch_size: int

    def see(
        self, path: Path, images: npt.NDArray[np.uint8]
    ) -> tuple[ClassIds, npt.NDArray[np.float32] | None]:
        """Class ids and, if a result needs them, probabilities of images [B, H, W, channels].

        Args:
            path: of the first image, for the message when the memory is full.
            images: uint8.

        Raises:
            TooLarge: if the network has one size and they are larger.
        """
        predictor = self.network
        if self.windows is not None:
            predictor = windowed(predictor, self.windows)
        size = "x".join(map(str, images.shape[1:3]))
        with explained(f"predicting {path} ({size} pixels)", inference_advice):
            if any(save.needs_probabilities for save in self.saves):
                probabilities = predictor.probabilities(images)
                return np.argmax(probabilities, axis=-1).astype(np.int32), probabilities
            return predictor.labels(images), None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Attributes:
        job: the input.
        is_written: whether there are results.
        complaint: what is wrong, such as "cannot read", and why; None: nothing.
        remark: what else people should know; None: nothing.
    """

    job: Job
    is_written: bool
    complaint: tuple[str, str] | None = None
    remark: str | None = None


def failed(job: Job, error: FileError | TooLarge, *, is_written: bool = False) -> Outcome:
    """The outcome of an input that cannot be read, or that the network cannot see."""
    if isinstance(error, FileError):
        return Outcome(job, is_written, ("cannot read", error.problem.detail))
    return Outcome(job, is_written, ("cannot segment", str(error)))
