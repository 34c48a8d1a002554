"""The bar on a terminal, with notes below it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence

import rich.console
import rich.progress
import rich.text

from deeplab.progress import Progress, rate


@contextlib.contextmanager
def bar(description: str, total: int | None, unit: str, start: int) -> Iterator[Progress]:
    """A bar for as long as the context lasts; arguments are those of `track`."""
    shown = _BarAndNotes(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(bar_width=None),
        rich.progress.MofNCompleteColumn(),
        _RateColumn(),
        rich.progress.TimeRemainingColumn(),
        # What is redirected ends up on the console, i.e. on standard output.
        redirect_stderr=sys.stderr.isatty(),
    )
    with shown:
        yield _Bar(shown, shown.add_task(description, total=total, completed=start, unit=unit))


class _BarAndNotes(rich.progress.Progress):
    """A bar with a line of notes below it, as many of them as fit."""

    notes: Sequence[str] = ()

    def get_renderables(self) -> Iterator[rich.console.RenderableType]:
        yield from super().get_renderables()
        if self.notes:
            yield rich.text.Text(_fitting(self.notes, self.console.width), no_wrap=True)


def _fitting(notes: Sequence[str], width: int) -> str:
    """The first of the notes in one line, as many as fit into `width` characters."""
    line = ""
    for note in notes:
        longer = f"{line}  {note}" if line else note
        if len(longer) > width:
            break
        line = longer
    return line


class _Bar(Progress):
    def __init__(self, bar: _BarAndNotes, task: rich.progress.TaskID) -> None:
        self._bar = bar
        self._task = task

    def advance(self, count: int = 1, notes: Sequence[str] = ()) -> None:
        self._bar.notes = notes
        self._bar.update(self._task, advance=count)

    def message(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)


class _RateColumn(rich.progress.ProgressColumn):
    def render(self, task: rich.progress.Task) -> rich.progress.Text:
        speed = task.finished_speed or task.speed
        return rich.progress.Text(rate(speed, task.fields["unit"]) if speed else "", style="cyan")
