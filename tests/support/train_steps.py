"""Training with another step, for what happens in the middle of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deeplab.models import DeepLabModel
from deeplab.training import learner

Step = Callable[[Any], Any]


@contextlib.contextmanager
def changed_step(change: Callable[[Step, DeepLabModel], Step]) -> Iterator[None]:
    """Training takes the step that `change` makes of the usual one and the model."""
    make = learner.make_train_step

    def make_changed(model: DeepLabModel, *arguments: Any, **settings: Any) -> Step:
        return change(make(model, *arguments, **settings), model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "make_train_step", make_changed)
        yield
