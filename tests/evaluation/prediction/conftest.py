"""The network that predicts in these tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from color_export import COLOR_CLASSES, export_of


@pytest.fixture(scope="session")
def color_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel that takes the strongest of red, green and blue for the class."""
    folder = tmp_path_factory.mktemp("predict") / "export [1]"
    return export_of(lambda images: images, folder, COLOR_CLASSES)
