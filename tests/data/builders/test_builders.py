"""The TFDS builders of this package under TFDS's own test of builders."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow_datasets as tfds
from archives import ARCHIVES, expect_dummies, make_source

from deeplab.data import DATASETS
from deeplab.data.builders.folder import Folder

OURS = sorted(
    name
    for name, spec in DATASETS.items()
    if not spec.prepared_by_tfds and ARCHIVES[name].make is not None
)
# What `DatasetBuilderTestCase` shows of a builder; the rest of it is about unittest itself.
SHOWN = (
    "test_baseclass",
    "test_info",
    "test_registered",
    "test_tags_are_valid",
    "test_download_and_prepare_as_dataset",
)


def case_of(name: str, make: Callable[[str], Folder], sizes: Mapping[str, int]) -> Any:
    """A test case of TFDS whose builders read a source folder instead of dummy data."""

    class Case(tfds.testing.DatasetBuilderTestCase):
        DATASET_CLASS = type(make("unused"))
        SPLITS = dict(sizes)
        OVERLAPPING_SPLITS = ["trainaug", "trainval"]
        EXAMPLE_DIR = Path(__file__).parent
        # It wants TFDS's file operations in place of those of `os`: sources are local files.
        MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False

        def _make_builder(self, config: object = None) -> Folder:
            del config  # it follows from the source
            return make(self.tmp_dir)

    Case.__qualname__ = Case.__name__ = f"{name}Test"
    return Case


@pytest.mark.parametrize("name", OURS)
def test_a_builder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_dummies(monkeypatch, name)
    source = str(make_source(monkeypatch, name, tmp_path))
    case = case_of(
        name,
        lambda data_dir: DATASETS[name].make_builder(data_dir, source),
        ARCHIVES[name].sizes,
    )
    result = unittest.TestResult()
    unittest.TestSuite(case(test) for test in SHOWN).run(result)
    problems = [text for _, text in (*result.errors, *result.failures)]
    assert result.testsRun == len(SHOWN) and not problems, "\n".join(problems)
