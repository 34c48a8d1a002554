"""A model card says what was measured, and nothing of the folders of its author."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from model_dirs import TINY, make_model_dir

from deeplab.export.hub.card import card
from deeplab.export.source import Source, open_source

METRICS = {
    "checkpoint_step": 7,
    "output_stride": 16,
    "eval_scales": [1.0],
    "flip": False,
    "dataset": "camvid",
    "split": "val",
    "miou": 0.7125,
    "pixel_accuracy": 0.94,
    "num_images": 101,
}


def text_of(source: Source) -> str:
    return card(
        source, library="x", task="y", title="z", code="import x", remarks=["Mind."], whole=True
    )


def test_measured_and_not(tmp_path: Path) -> None:
    make_model_dir(tmp_path / "model", **TINY)
    source = open_source(tmp_path / "model", "latest", None)
    assert "| measured | not with these weights" in text_of(source)
    folder = tmp_path / "model" / "eval" / "val"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    assert "mIoU 0.7125, pixel accuracy 0.9400 on 101 images of camvid val" in text_of(source)
    assert text_of(source).endswith("\n- Mind.\n")


def test_folders_are_not_published(tmp_path: Path) -> None:
    make_model_dir(tmp_path / "model", class_names=("a|b", "c"), **TINY)
    source = open_source(tmp_path / "model", "latest", None)
    description = dataclasses.replace(
        source.description, weights_source="tf1 /home/somebody/my files/model.ckpt"
    )
    text = text_of(source._replace(description=description))
    assert "| weights | tf1 model.ckpt |" in text
    assert "| classes | a\\|b, c |" in text
