"""One format is the folder itself, several stand below it; nothing is replaced unasked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_dirs import make_model_dir

import deeplab
from deeplab.errors import DeepLabError
from deeplab.export import FORMATS
from deeplab.export.formats import is_export

pytest.importorskip("safetensors")

NETWORK: dict[str, Any] = {
    "decoder": False,
    "atrous_rates": (),
    "depth_multiplier": 0.25,
    "backbone_options": {"divisible_by": 8},
    "resize": "half_pixel",
}


def write(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_one_format_is_the_folder_itself(
    tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    make_model_dir(tmp_path / "model", **NETWORK)
    target = tmp_path / "exports"
    words = ("export", "--model_dir", tmp_path / "model", "--export_dir", target)
    code, output, errors = run_command(*words, "--format=hugging_face", "--format=hugging_face")
    assert (code, errors) == (0, "") and f"wrote {target}, compared" in output
    assert (target / "model.safetensors").is_file()
    code, _, errors = run_command(*words)
    assert code == 1 and "--overwrite replaces it" in errors


@pytest.mark.slow
def test_each_of_several_formats_has_a_folder(
    tmp_path: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    make_model_dir(tmp_path / "model", **NETWORK)
    target = tmp_path / "exports"
    words = ("export", "--model_dir", tmp_path / "model", "--export_dir", target)
    several = ("--format=hugging_face", "--format=saved_model")
    code, output, errors = run_command(*words, *several)
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert [line.split(",")[0] for line in lines[:2]] == [
        f"wrote {target}/hugging_face",
        f"wrote {target}/saved_model",
    ]
    assert [line.split()[0] for line in lines[-2:]] == ["hugging_face", "saved_model"]
    assert re.search(r"MB .*%.* ms \(128x192\)$", lines[-1])
    assert {path.name for path in target.iterdir()} == {"hugging_face", "saved_model"}
    assert is_export(target)
    deeplab.export(
        model_dir=tmp_path / "model", export_dir=target, format="hugging_face", overwrite=True
    )
    assert (target / "config.json").is_file() and not (target / "saved_model").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"exports", "model"}


def test_what_is_taken_for_an_export(tmp_path: Path) -> None:
    for name, row in FORMATS.items():
        assert is_export(write(tmp_path / name, row.contents[0]))
    assert is_export(tmp_path)
    # A clone of a repository, or something of the user's beside it.
    write(tmp_path / "timm", ".git")
    assert not is_export(tmp_path / "timm") and not is_export(tmp_path)
    assert not is_export(write(tmp_path / "other", "config.json", "README.md"))
    assert not is_export(write(tmp_path / "empty"))


@pytest.mark.parametrize("name", FORMATS)
def test_foreign_files_are_kept(tmp_path: Path, name: str) -> None:
    target = write(tmp_path / "x", FORMATS[name].contents[0], "thesis.txt")
    with pytest.raises(DeepLabError, match="is not an exported model"):
        deeplab.export(model_dir=tmp_path, export_dir=target, format=name, overwrite=True)
    assert (target / "thesis.txt").exists()
