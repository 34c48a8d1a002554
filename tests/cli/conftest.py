"""Fixtures for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Command, Refused, snapshot


@pytest.fixture
def refused(run_command: Command, tmp_path: Path) -> Refused:
    """Runs a command line that must fail with one line and change nothing below tmp_path."""

    def run(*arguments: object, code: int = 1) -> str:
        before = snapshot(tmp_path)
        ended, out, err = run_command(*arguments)
        assert ended == code
        assert out == "" or code == 1
        assert err.startswith("deeplab: ") and err.count("\n") == 1
        # A class's name there means that nobody foresaw the error.
        assert "shows the traceback" not in err
        assert snapshot(tmp_path) == before
        return err

    return run
