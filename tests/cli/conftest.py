"""Fixtures for the tests of the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_line import Command, Refused


@pytest.fixture
def refused(run_command: Command, tmp_path: Path) -> Refused:
    """Runs a command line that must fail with one line and change nothing below tmp_path."""

    def run(*arguments: object, code: int = 1, silent: bool = False) -> str:
        before = snapshot(tmp_path)
        ended, out, err = run_command(*arguments)
        assert ended == code
        # Before content is looked at, nothing has been said.
        assert out == "" or not (silent or code == 2)
        assert err.startswith("deeplab: ") and err.count("\n") == 1
        # A class's name there means that nobody foresaw the error.
        assert "shows the traceback" not in err
        assert snapshot(tmp_path) == before
        return err

    return run


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, except the lock files, which hold nothing."""
    return {
        os.fsdecode(path): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name != ".lock"
    }
