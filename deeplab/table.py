"""Tables of classes as text for a terminal, 80 columns wide."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence

import rich.box
import rich.console
import rich.table
import rich.text

WIDTH = 80


def class_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A row per class, without colors; of characters that standard output can show.

    Args:
        headings: of the columns to the right of id and class name.
        rows: cells from left to right; missing ones stay empty.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"

    def shown(text: str) -> str:
        return text.encode(encoding, "backslashreplace").decode(encoding)

    has_lines = shown("─…") == "─…"
    box = rich.box.SIMPLE_HEAD if has_lines else rich.box.ASCII
    table = rich.table.Table(box=box, show_edge=False, expand=True)
    table.add_column("id", justify="right")
    overflow: rich.console.OverflowMethod = "ellipsis" if has_lines else "crop"
    table.add_column("class", ratio=1, no_wrap=True, overflow=overflow)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for cells in rows:
        # As Text: a class name is no markup.
        table.add_row(*(rich.text.Text(shown(cell)) for cell in cells))
    console = rich.console.Console(
        file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False
    )
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
