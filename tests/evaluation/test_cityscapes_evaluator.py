"""The benchmark's own evaluator on the same files, classes and categories.

`pip install --no-deps cityscapesscripts pyquaternion` gets what the test needs of it; the package
as a whole asks for a stand-in of Python's `typing`, so that it is no dependency of the tests.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scored_images import Ids, counts_of, scored

from deeplab.data.builders.cityscapes import SPEC
from deeplab.evaluation.metrics import rates_of
from deeplab.evaluation.slices import of_merged

NAMES = list(SPEC.class_names)
CLASS_IDS = np.array(SPEC.label_map)  # of what the files hold
STORED = np.flatnonzero(CLASS_IDS < len(NAMES))


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> Any:
    # It reads the standard streams' terminals while it is imported, and asks for no colors then.
    monkeypatch.setattr(sys, "argv", ["evaluate"])
    return pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
        reason="the benchmark's evaluator is not installed",
    )


def files_of(root: Path) -> list[tuple[str, Path, Path]]:
    """Label ids and predictions in the layout of the benchmark, of all 34 ids and some others."""
    generator = np.random.default_rng(0)
    found = []
    for index, city in enumerate(("frankfurt", "lindau", "munster")):
        labels = generator.integers(0, 34, (16, 32)).repeat(8, 0).repeat(8, 1)
        labels[labels == 18] = 7  # guard rails are counted nowhere; one class is never there
        wrong = generator.choice(STORED, labels.shape)
        kept = np.isin(labels, STORED) & (generator.random(labels.shape) < 0.7)
        predictions = np.where(kept, labels, wrong)
        name = f"{city}_000000_{index:06d}"
        paths = (
            root / "gtFine" / "val" / city / f"{name}_gtFine_labelIds.png",
            root / "results" / f"{name}_leftImg8bit.png",
        )
        for path, ids in zip(paths, (labels, predictions), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ids.astype(np.uint8)).save(path)
        found.append((name, *paths))
    return found


@pytest.mark.slow
def test_classes_and_categories_of_the_benchmark(official: Any, tmp_path: Path):
    files = files_of(tmp_path)
    official.args.evalInstLevelScore = False
    official.args.JSONOutput = False
    official.args.quiet = True
    expected = official.evaluateImgLists(
        [str(prediction) for _, _, prediction in files],
        [str(labels) for _, labels, _ in files],
        official.args,
    )

    def read(path: Path) -> Ids:
        return CLASS_IDS[np.asarray(Image.open(path))]

    images = [scored(name, read(label), read(found), len(NAMES)) for name, label, found in files]
    counts = counts_of(images, len(NAMES))
    found = rates_of(counts.total(), NAMES)
    scores = {name: expected["classScores"][name] for name in NAMES}
    assert found["per_class_iou"] == pytest.approx(scores, rel=1e-12)
    assert found["miou"] == pytest.approx(expected["averageScoreClasses"], rel=1e-12)
    categories: dict[str, list[str]] = {}
    for label in official.labels:
        if not label.ignoreInEval:
            categories.setdefault(label.category, []).append(label.name)
    merged = of_merged(counts, NAMES, categories)["per_class_iou"]
    scores = {name: expected["categoryScores"][name] for name in categories}
    assert merged == pytest.approx(scores, rel=1e-12)
