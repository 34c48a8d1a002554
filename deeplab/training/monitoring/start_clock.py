"""What the time before the first step goes into."""

from __future__ import annotations

import time


class StartClock:
    """Counts from its making."""

    def __init__(self) -> None:
        """Starts."""
        self._began = self._last = time.monotonic()
        self._parts: list[str] = []

    def lap(self, what: str) -> None:
        """The time since the last lap went into this."""
        now = time.monotonic()
        self._parts.append(f"{what} {now - self._last:.1f} s")
        self._last = now

    def line(self) -> str:
        """What a run says after its first step."""
        return f"first step after {self._last - self._began:.0f} s: {', '.join(self._parts)}"
