"""history.json and history.csv."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from deeplab.training.monitoring.history import History


def written(folder: Path) -> Path:
    history = History(folder, step=0)
    history.add("train", 10, {"loss": 1.5, "learning_rate": 0.01})
    history.add("train", 20, {"loss": 0.5, "learning_rate": 0.02})
    history.add("eval", 20, {"miou": 0.25, "iou": {"cat, tabby": 0.5, "dog": None}})
    history.write()
    return folder


def test_csv_has_a_line_a_step(tmp_path: Path) -> None:
    with (written(tmp_path) / "history.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["step", "loss", "learning_rate", "miou", "iou/cat, tabby", "iou/dog"],
        ["10", "1.5", "0.01", "", "", ""],
        ["20", "0.5", "0.02", "0.25", "0.5", ""],
    ]


def test_a_resumed_run_forgets_what_lies_behind_its_step(tmp_path: Path) -> None:
    history = History(written(tmp_path), step=10)
    assert history.best_miou is None
    history.add("train", 11, {"loss": 2.0})
    history.write()
    content = json.loads((tmp_path / "history.json").read_text())
    assert [row["step"] for row in content["train"]] == [10, 11]
    assert content["eval"] == []
    assert History(tmp_path, step=99).best_miou is None


def test_best(tmp_path: Path) -> None:
    assert History(written(tmp_path), step=20).best_miou == 0.25


@pytest.mark.parametrize("text", ["", "{", "[]", '{"train": 1}', '{"train": [{}], "eval": []}'])
def test_a_damaged_history_stops_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.json").write_text(text)
    history = History(tmp_path, step=5)
    history.add("train", 6, {"loss": 1.0})
    history.write()
    content = json.loads((tmp_path / "history.json").read_text())
    assert content == {"train": [{"step": 6, "loss": 1.0}], "eval": []}
