"""What may change when a run is resumed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from model_dirs import make_model_dir

import deeplab
from deeplab.training.config import OptimizerConfig
from deeplab.training.distribution.cluster import Cluster
from deeplab.training.run_settings import check_agreement, check_resumable


def test_a_setting_that_a_folder_does_not_know_had_its_default() -> None:
    config = deeplab.TrainConfig(
        model=deeplab.ModelConfig("mobilenet_v2", num_classes=3),
        data=deeplab.DataConfig(dataset="shapes"),
    )
    saved = json.loads(json.dumps(config.to_dict()))
    for name in ("ema_decay", "precision", "accumulation_steps"):
        del saved[name]
    del saved["optimizer"]["clip_norm"], saved["schedule"]["decay_steps"]
    assert check_resumable(saved, config.to_dict(), model_dir="m") == []
    changed = dataclasses.replace(
        config, ema_decay=0.9, optimizer=OptimizerConfig(clip_norm=1.0)
    ).to_dict()
    with pytest.raises(deeplab.DeepLabError) as caught:
        check_resumable(saved, changed, model_dir="m")
    for part in ("ema_decay was 0.0, is 0.9", "optimizer.clip_norm was 0.0, is 1.0"):
        assert part in str(caught.value)


def test_only_three_settings_may_change_on_resume() -> None:
    saved = {"train_steps": 10, "seed": 0, "model": {"backbone": "a", "atrous_rates": [1, 2]}}
    longer = {**saved, "train_steps": 20}
    longer["model"] = {"backbone": "a", "atrous_rates": (1, 2)}
    assert check_resumable(saved, longer, model_dir="m") == ["train_steps was 10, is 20"]
    other = {**saved, "seed": 1, "model": {"backbone": "b", "atrous_rates": None}}
    with pytest.raises(deeplab.DeepLabError) as caught:
        check_resumable(saved, other, model_dir="m")
    for part in ("cannot resume m", "model.backbone was 'a', is 'b'", "seed was 0, is 1"):
        assert part in str(caught.value)


def test_workers_that_start_from_other_weights_are_named(
    tmp_path: Path, shallow_backbone: None
) -> None:
    make_model_dir(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "another")
    brought: list[dict[str, object]] = []

    def combine(what: str, value: dict[str, object], check: Callable[[list], None]) -> None:
        brought.append(value)
        check(brought)

    workers = SimpleNamespace(count=2, cluster=Cluster(("a:1", "b:1"), 0), combine=combine)
    dataset = SimpleNamespace(splits={})
    for folder in ("one", "another"):
        check_agreement(workers, {}, dataset, None, str(tmp_path / folder))
    # Its logits are fresh, and so are not compared.
    report = json.dumps({"fresh_parts": ["logits"]})
    (tmp_path / "another" / "import.json").write_text(report)
    del brought[1]
    with pytest.raises(deeplab.DeepLabError, match=r"worker 1 \(b:1\): the sum of the weights of"):
        check_agreement(workers, {}, dataset, None, str(tmp_path / "another"))
