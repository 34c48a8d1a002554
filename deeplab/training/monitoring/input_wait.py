"""How long the loop waits for images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

_Batch = TypeVar("_Batch")

# The first steps compile and fill the buffers; the ones after them are judged.
_FIRST_JUDGED, _LAST_JUDGED = 6, 50
_TOO_MUCH = 0.3


class InputWait(Generic[_Batch]):
    """An iterator over batches that measures the time it took to get each of them.

    Batches are prepared ahead, so what the loop waits is what the input is too slow. On a device
    that computes while Python runs on, the end of the step before is waited for here too, if the
    input is the slower of the two.

    Attributes:
        steps: batches handed out.
    """

    def __init__(
        self, batches: Iterable[_Batch], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Starts the clock."""
        self._batches = iter(batches)
        self._clock = clock
        self._judged: tuple[float, float] | None = None
        self._waited = 0.0  # since the beginning
        self.steps = 0
        self.restart()

    def __iter__(self) -> Iterator[_Batch]:
        """Itself: there is one pass over the batches."""
        return self

    def __next__(self) -> _Batch:
        """The next batch."""
        before = self._clock()
        batch = next(self._batches)
        now = self._clock()
        self._waited += now - before
        self.steps += 1
        if self.steps == _FIRST_JUDGED:
            self._judged = (now, self._waited)
        return batch

    def restart(self) -> None:
        """Begins a new interval for `share`."""
        self._since = (self._clock(), self._waited)

    def share(self) -> float:
        """The share of the time since `restart` that was spent waiting, 0..1."""
        return self._share(self._since)

    def complaint(self) -> str | None:
        """A line of advice after the first fifty steps if more than 30 % of them was waiting."""
        if self.steps < _LAST_JUDGED or self._judged is None:
            return None
        share, self._judged = self._share(self._judged), None
        if share <= _TOO_MUCH:
            return None
        return (
            f"the first {_LAST_JUDGED} steps waited {share:.0%} of the time for images: the input "
            "is the bottleneck. A --data_dir on a local disk, images stored no larger than needed "
            "for CROP_SIZE, or more CPU cores make it faster"
        )

    def _share(self, since: tuple[float, float]) -> float:
        began, waited = since
        return (self._waited - waited) / max(self._clock() - began, 1e-9)
