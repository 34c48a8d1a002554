"""The tool that compares us with stored outputs finds a difference, and says so."""

import json
import shutil
import sys
from pathlib import Path

import check_golden
import numpy as np
import pytest


@pytest.fixture
def folder(reference_data: Path, tmp_path: Path) -> Path:
    for suffix in ("json", "npz"):
        shutil.copy(reference_data / "golden" / f"mnv2_os32_129.{suffix}", tmp_path)
    shutil.copy(reference_data / "golden" / "weights.py", tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["check_golden.py", *map(str, arguments)])
    return check_golden.main()


@pytest.mark.slow
def test_row_of_a_good_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, folder) == 0
    printed = capsys.readouterr().out
    assert "mnv2_os32_129" in printed and " ok " in printed and "1 of 1 ok" in printed


@pytest.mark.slow
def test_a_difference_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "mnv2_os32_129.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["logits"] = arrays["logits"].copy()
    arrays["logits"][0, 0, 0, 0] += 0.01 * arrays["logits"].std()
    np.savez(path, **arrays)
    assert run(monkeypatch, folder) == 1
    assert "FAIL" in capsys.readouterr().out


def test_what_is_not_supported_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "mnv2_os32_129.json"
    facts = json.loads(path.read_text())
    facts["flags"].append("--brand_new_flag=1")
    path.write_text(json.dumps(facts))
    assert run(monkeypatch, folder) == 1
    assert "brand_new_flag" in capsys.readouterr().out


def test_nothing_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path) == 1
    assert run(monkeypatch, tmp_path / "nowhere") == 1
    assert "no configurations" in capsys.readouterr().err
