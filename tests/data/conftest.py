"""Fixtures for the tests of data."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from source_folders import make_folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is asked for fails the test."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"the network was used: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A `folder` source of one image for training and one for validation."""
    return make_folder(tmp_path / "source", {"train/a": (8, 9), "val/b": (8, 9)})
