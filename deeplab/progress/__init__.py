"""How far a long piece of work is: a bar on a terminal, plain lines elsewhere.

    with track("evaluating", total=500, unit="images") as progress:
        for batch in batches:
            ...
            progress.advance(len(batch), notes=("loss 0.31", "learning rate 0.007"))

Everything goes to standard output, so that standard error holds nothing but complaints.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence

LINE_SECONDS = 10.0


class Progress:
    """What the work reports to; this one shows messages alone."""

    def advance(self, count: int = 1, notes: Sequence[str] = ()) -> None:
        """Says that `count` more units are done.

        Args:
            count: how many.
            notes: what else to show, e.g. "loss 0.31", the most important first: a narrow terminal
                shows fewer.
        """

    def message(self, text: str) -> None:
        """Prints a line on standard output without disturbing the bar."""
        print(text, flush=True)


@contextlib.contextmanager
def track(
    description: str,
    total: int | None,
    *,
    unit: str = "steps",
    start: int = 0,
    silent: bool = False,
) -> Iterator[Progress]:
    """Reports on a piece of work for as long as the context lasts.

    Args:
        description: what is done, e.g. "evaluating".
        total: how many units there are, or None if nobody knows.
        unit: what is counted, in the plural.
        start: units already done before (a resumed run); they do not enter the rate.
        silent: report nothing (messages are still printed).
    """
    if silent:
        yield Progress()
        return
    if not sys.stdout.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        lines = _Lines(description, total, unit, start)
        yield lines
        lines.finish()
        return
    from deeplab.progress.bar import bar  # rich, which takes a while to import

    with bar(description, total, unit, start) as shown:
        yield shown


def warn(text: str) -> None:
    """Prints a warning on standard error; a bar on the terminal survives it."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


class _Lines(Progress):
    """Prints a line when `LINE_SECONDS` have passed since the last one, and one at the end."""

    def __init__(self, description: str, total: int | None, unit: str, start: int) -> None:
        self._description = description
        self._total = total
        self._unit = unit
        self._start = start
        self._done = self._printed = start
        self._notes: Sequence[str] = ()
        self._began = self._last_line = time.monotonic()
        self._measured_from: tuple[int, float] | None = None  # units done, and when

    def advance(self, count: int = 1, notes: Sequence[str] = ()) -> None:
        now = time.monotonic()
        self._done += count
        self._notes = notes
        if now - self._last_line >= LINE_SECONDS:
            self._print(now, self._measured_from)
        elif self._measured_from is not None:
            return
        # Since the last line. The first units say nothing about the rest: they include tracing.
        self._measured_from = self._done, now

    def finish(self) -> None:
        if self._done > self._printed:
            self._print(time.monotonic(), (self._start, self._began))

    def _print(self, now: float, since: tuple[int, float] | None) -> None:
        """Prints a line, with the speed since so many units were done, at that time."""
        self._last_line = now
        self._printed = self._done
        count = f"{self._done}" if self._total is None else f"{self._done}/{self._total}"
        parts = [f"{self._description} {count} {self._unit}"]
        if since is not None:
            speed = (self._done - since[0]) / max(now - since[1], 1e-9)
            parts.append(rate(speed, self._unit))
            if self._total is not None and self._done < self._total:
                parts.append(f"{_duration((self._total - self._done) / speed)} left")
        print(", ".join([*parts, *self._notes]), flush=True)


def rate(speed: float, unit: str) -> str:
    """Units a second, or seconds a unit when they are slow."""
    if speed >= 1:
        return f"{speed:.1f} {unit}/s"
    return f"{1 / speed:.1f} s/{unit.removesuffix('s')}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
