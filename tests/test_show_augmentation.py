"""The tool that draws what training sees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from source_folders import make_folder, numbered

TOOL = Path(__file__).resolve().parents[1] / "tools" / "show_augmentation.py"


def run_tool(tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    source = make_folder(tmp_path / "source", numbered(3, (40, 50)))
    places = [f"--source_dir={source}", f"--data_dir={tmp_path / 'data'}"]
    gin = ["--gin_file=runs/folder_mobilenet_v2.gin", "--gin_bindings=CROP_SIZE=32"]
    return subprocess.run(
        [sys.executable, str(TOOL), *gin, *places, f"--output={tmp_path / 'sheet.png'}", *flags],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(TOOL.parents[1]), "HOME": str(tmp_path)},
        check=False,
    )


@pytest.mark.slow
def test_a_sheet_of_every_augmentation(tmp_path: Path) -> None:
    result = run_tool(tmp_path, "--each", "--count=3")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        # Two rows, three distortions, fourteen operations, three ways of mixing.
        assert sheet.size == (3 * 2 * (32 + 4), 22 * (32 + 14))


@pytest.mark.slow
def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    result = run_tool(tmp_path, "--gin_bindings=AugmentConfig.mix='cutmix'")
    assert result.returncode == 1
    assert "did you mean 'cut_mix'" in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "sheet.png").exists()
