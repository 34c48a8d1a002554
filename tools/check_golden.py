#!/usr/bin/env python3
"""Compares our networks with stored outputs of the original code, one row a configuration.

python tools/check_golden.py DIR [--weights=weights.py]

DIR holds NAME.json (flags, input and variables of a configuration) and NAME.npz (its outputs). The
weights are a function of a variable's name and shape, which the weights module defines; it is
looked for in DIR and its parent. Each configuration is built from its flags, loaded from a real
checkpoint of its weights, and run. Exits with 1 if one fails, or none is found.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from deeplab.cli.quiet import import_tensorflow

# Largest difference of a logit (or probability) over the standard deviation of all of them.
TOLERANCE = 2e-3
AGREEMENT = 0.999
# Where labels differ, our best class may be ahead of the stored one by so much of the standard
# deviation of the logits, or by so much probability.
NEAR_TIE = 4e-3
NEAR_TIE_PROBABILITY = 1e-4
ROOT = Path(__file__).resolve().parents[1]

Array = npt.NDArray[Any]


class Golden(NamedTuple):
    """One configuration of the original: its facts and the arrays that it gave."""

    facts: dict[str, Any]
    arrays: dict[str, Array]
    folder: Path


class Comparison(NamedTuple):
    """How far our outputs are from the stored ones.

    Attributes:
        difference: the largest, over the standard deviation.
        agreement: share of pixels with the same label; None where no labels are stored.
        near_ties: whether every other pixel is one.
    """

    difference: float
    agreement: float | None
    near_ties: bool

    @property
    def ok(self) -> bool:
        """Whether all of it is within the tolerances."""
        agrees = self.agreement is None or self.agreement >= AGREEMENT
        return self.difference <= TOLERANCE and agrees and self.near_ties


def load_golden(path: Path) -> Golden:
    """The configuration of a JSON file."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    with np.load(path.with_suffix(".npz")) as arrays:
        return Golden(facts, dict(arrays), path.parent)


def weight_rule(path: Path) -> ModuleType:
    """The module that computes the value of every variable from its name and shape."""
    spec = importlib.util.spec_from_file_location("golden_weights", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def input_images(golden: Golden, rule: ModuleType, photos: Path) -> Array:
    """The input of a configuration, float32 [1,H,W,3], 0..255."""
    facts = golden.facts["input"]
    if "seed" in facts:
        image = rule.image(facts["height"], facts["width"], facts["seed"])
        return image.astype(np.float32)[None]
    name = facts["kind"].split("(")[0].rsplit(".", 1)[-1]
    image = np.asarray(Image.open(photos / f"skimage_{name}.png"))
    padded = np.full(facts["shape"], 127.5, np.float32)
    padded[0, : image.shape[0], : image.shape[1]] = image
    return padded


def compare(model: Any, golden: Golden, images: Array) -> Comparison:
    """Runs a loaded model and compares whatever is stored."""
    import deeplab
    from deeplab.interop import tf1

    outputs = deeplab.intermediates(model)(images)
    differences = []
    step = golden.facts.get("logits_stride_stored", 1)
    for key, expected in golden.arrays.items():
        if "logits" in key:
            found = outputs["logits_low_resolution" if key == "logits" else key].numpy()
            differences.append(_difference(found[:, ::step, ::step], expected))
    protocol = tf1.protocol_from_flags(golden.facts["flags"])
    labels, probabilities = (x.numpy() for x in tf1.predict_labels(model, images, **protocol))
    several = len(protocol["eval_scales"]) > 1 or protocol["flip"]
    if "prob_strided" in golden.arrays:
        step = golden.facts["prob_stride"]
        strided = probabilities[:, ::step, ::step]
        differences.append(_difference(strided, golden.arrays["prob_strided"]))
    if not differences:
        raise ValueError("no logits and no probabilities are stored")
    if "predictions" not in golden.arrays:
        return Comparison(max(differences), None, True)
    expected = golden.arrays["predictions"]
    agreement = float((labels == expected).mean())
    if not protocol["upsample_logits"]:
        return Comparison(max(differences), agreement, True)
    # The probabilities of several copies are the softmax of their mean: its logarithm is the mean.
    scores = np.log(np.maximum(probabilities, 1e-37)) if several else outputs["logits"].numpy()
    limit = NEAR_TIE_PROBABILITY if several else NEAR_TIE * scores.std()
    stored = np.take_along_axis(scores, expected[..., None].astype(np.int64), -1)[..., 0]
    return Comparison(max(differences), agreement, bool((scores.max(-1) - stored).max() <= limit))


def _difference(found: Array, expected: Array) -> float:
    if found.shape != expected.shape:
        raise ValueError(f"the shape is {list(found.shape)}, stored is {list(expected.shape)}")
    return float(np.abs(found - expected).max() / expected.std())


def check(path: Path, rule: ModuleType, photos: Path) -> Comparison:
    """Builds, loads and compares the configuration of a JSON file."""
    import deeplab
    from deeplab.interop import tf1

    golden = load_golden(path)
    model = tf1.model_from_flags(golden.facts["flags"], golden.folder)
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "model.ckpt")
        rule.write_checkpoint(path, prefix)
        deeplab.import_weights(model, source="tf1", path=prefix)
    return compare(model, golden, input_images(golden, rule, photos))


def configurations(folder: Path) -> list[Path]:
    """The JSON files of a folder that describe a configuration."""
    return [
        path
        for path in sorted(folder.glob("*.json"))
        if {"flags", "input", "variables"} <= json.loads(path.read_text(encoding="utf-8")).keys()
    ]


def find_weights(folder: Path) -> Path | None:
    """The weights module beside the files, or one folder up."""
    places = (folder / "weights.py", folder.resolve().parent / "weights.py")
    return next((path for path in places if path.is_file()), None)


def main() -> int:
    """Prints a row a configuration; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--weights", type=Path, help="the module with the rule of the weights")
    arguments = parser.parse_args()
    paths = configurations(arguments.folder) if arguments.folder.is_dir() else []
    weights = arguments.weights or find_weights(arguments.folder)
    if not paths or weights is None or not weights.is_file():
        missing = "configurations" if not paths else "weights.py"
        print(f"check_golden: no {missing} in {arguments.folder}", file=sys.stderr)
        return 1
    rule = weight_rule(weights)
    reference = Path(os.environ.get("DEEPLAB_REFERENCE_DATA", ROOT.parent / "shared"))
    import_tensorflow(verbose=False)
    width = max(len(path.stem) for path in paths)
    print(f"{'configuration':<{width}}  max diff / std   argmax equal          seconds")
    failed = 0
    for path in paths:
        start = time.perf_counter()
        try:
            found = check(path, rule, reference / "data" / "photos")
        except Exception as error:  # one that cannot be run is a row like any other
            failed += 1
            message = " ".join(str(error).split())[:200]
            print(f"{path.stem:<{width}}  FAIL: {type(error).__name__}: {message}", flush=True)
            continue
        failed += not found.ok
        agreement = "-" if found.agreement is None else f"{found.agreement:.6f}"
        verdict = "ok" if found.ok else "FAIL"
        seconds = time.perf_counter() - start
        print(
            f"{path.stem:<{width}}  {found.difference:>14.1e}  {agreement:>13}  {verdict:<4}  "
            f"{seconds:>8.1f}",
            flush=True,
        )
    print(f"{len(paths) - failed} of {len(paths)} ok")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
