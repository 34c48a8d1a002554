"""How much memory this process may still take."""

from __future__ import annotations

from pathlib import Path

import psutil

# Limits of a container, as Linux states them: the limit and what is used of it, in bytes.
CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory() -> int:
    """Bytes that are free, or could be made so, on the machine and within the container."""
    available = int(psutil.virtual_memory().available)
    for limit, used in CONTROL_GROUPS:
        try:
            left = int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # no such limit: the file is absent, or says "max"
            continue
        available = min(available, max(left, 0))
    return available
