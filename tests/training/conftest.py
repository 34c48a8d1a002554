"""What the tests of training share."""

from __future__ import annotations

import json

import numpy as np
import pytest
from model_dirs import COLORS
from PIL import Image
from source_folders import make_folder, numbered


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The folders of a small data set, which the first run prepares."""
    root = tmp_path_factory.mktemp("data") / "[1] a\\*?{b}"  # TensorFlow takes it for a pattern
    source = make_folder(root / "source", numbered(10, (40, 48)), ignore=7)
    classes = json.loads((source / "classes.json").read_text())
    (source / "classes.json").write_text(json.dumps({**classes, "colors": COLORS}))
    # Images with next to nothing labeled: replicas then have very different numbers of pixels.
    for path in sorted((source / "labels").iterdir())[::2]:
        mask = np.asarray(Image.open(path)).copy()
        mask[2:] = 255
        Image.fromarray(mask).save(path)
    return {"source_dir": str(source), "data_dir": str(root / "prepared")}
