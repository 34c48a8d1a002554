"""What version 0.1.0 wrote is still read: a model folder, an export and a prepared `folder` copy.

`made_by_0_1_0/` was made by that version's commands, and `logits.npy` by its `load_model`, of the
four images of `source/`. Nothing of it is ever made again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from PIL import Image

import deeplab
from deeplab.cli.main import main

MADE = Path(__file__).parent / "made_by_0_1_0"
COPY = MADE / "prepared/folder/a0edc8410d9de67d3adf/1.1.0"
WRITTEN = 1_700_000_000  # when the source was written: git keeps no times


@pytest.fixture
def made(tmp_path: Path) -> Path:
    shutil.copytree(MADE, tmp_path / "made")
    for file in (tmp_path / "made/source").rglob("*"):
        os.utime(file, (WRITTEN, WRITTEN))
    return tmp_path / "made"


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.uint8]:
    files = sorted((MADE / "source/images").iterdir())
    return np.stack([np.asarray(Image.open(file)) for file in files])


def assert_as_stored(logits: npt.NDArray[np.float32]) -> None:
    stored = np.load(MADE / "logits.npy")
    np.testing.assert_allclose(logits, stored, atol=1e-3 * stored.std((0, 1, 2)).min(), rtol=0)


def test_the_model_gives_the_logits_it_gave(images: npt.NDArray[np.uint8]) -> None:
    logits = deeplab.load_model(MADE / "model")(images.astype(np.float32))
    assert_as_stored(logits)


def test_the_export_gives_the_logits_it_gave(images: npt.NDArray[np.uint8]) -> None:
    export = tf.saved_model.load(str(MADE / "export"))
    logits = export.signatures["logits"](images=tf.cast(images, tf.float32))["logits"]
    assert_as_stored(logits)


@pytest.mark.slow
def test_the_prepared_copy_is_used_and_training_goes_on(made: Path) -> None:
    flags = [f"--model_dir={made / 'model'}", f"--data_dir={made / 'prepared'}"]
    more = ["--gin_bindings=TRAIN_STEPS=201", f"--source_dir={made / 'source'}"]
    assert main(["train", *flags, *more]) == 0
    assert [file.name for file in (made / "prepared/folder").iterdir()] == [COPY.parent.name]
    for file in COPY.iterdir():
        assert (made / COPY.relative_to(MADE) / file.name).read_bytes() == file.read_bytes()
    assert (made / "model/checkpoints/ckpt-201.index").exists()
    assert main(["evaluate", *flags, *more[1:]]) == 0
