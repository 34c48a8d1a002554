"""`doctor` answers where nothing else does."""

from __future__ import annotations

import re
from collections.abc import Callable
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest

from deeplab.doctor import examine, packages, report

Run = Callable[..., tuple[int, str, str]]

FOUND = {
    "devices": ["CPU", "GPU Some Model"],
    "threads": [0, 2],
    "onednn": True,
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions that take the place of those installed, where a test names them."""
    versions: dict[str, str] = {}
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: versions.get(name) or real(name))
    monkeypatch.setattr(metadata, "requires", lambda name: [])
    return versions


def broken(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str) -> None:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.slow
def test_what_is_here(run_command: Run) -> None:
    _, output, _ = run_command("doctor")
    assert re.search(r"^  tensorflow +2\.", output, re.MULTILINE)
    assert re.search(r"^  devices +CPU", output, re.MULTILINE)
    assert re.search(r"^  oneDNN +(on|off) \(", output, re.MULTILINE)


def test_a_sound_installation(
    run_command: Run, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_probe", lambda: FOUND)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    code, output, errors = run_command("doctor")
    assert (code, errors) == (0, "") and output.endswith("no problem found\n")
    assert "GPU Some Model" in output and "on (TF_ENABLE_ONEDNN_OPTS=1)" in output
    assert "one per core within an operation, 2 for operations" in output


def test_tensorflow_that_does_not_import(
    run_command: Run,
    installed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    broken(tmp_path, monkeypatch, "raise TypeError('Descriptors cannot\\n be')", "tensorflow")
    installed |= {"tensorflow": "2.18.1", "tensorflow-metadata": "1.18.0"}
    code, output, errors = run_command("doctor")
    assert code == 1 and re.search(r"^  tensorflow +2\.18\.1$", output, re.MULTILINE)
    assert errors == (
        "deeplab: tensorflow 2.18.1 and tensorflow-metadata 1.18.0 do not work together: pip "
        "install 'tensorflow>=2.20', or 'tensorflow-metadata<1.18'; tensorflow does not import: "
        "TypeError: Descriptors cannot\n"
    )


def test_tensorflow_that_ends_the_process(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken(tmp_path, monkeypatch, "import os; os._exit(3)", "tensorflow")
    output, problems = examine()
    assert problems == ["tensorflow does not import: the process ended with 3"]
    assert "TensorFlow does not import" in output


def test_requirements_that_are_not_met(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {"deeplab": ["absl-py>=99", "no-such-package>=1", "numpy", "numpy>=99; extra == 'x'"]}
    monkeypatch.setattr(metadata, "requires", lambda name: lines.get(name, []))
    installed["absl-py"] = "2.1"
    assert list(packages.problems()) == [
        "deeplab needs absl-py>=99, but 2.1 is installed",
        "deeplab needs no-such-package>=1, but it is not installed",
    ]


def test_an_extra_is_there_with_the_extras_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        "deeplab": ["numpy>=1", "numpy[gpu]>=1; extra == 'cuda'", "numpy>=1; extra == 'plain'"],
        "numpy": ["no-such-package; extra == 'gpu'"],
    }
    monkeypatch.setattr(metadata, "requires", lambda name: lines.get(name, []))
    message = Message()
    for extra in ("plain", "cuda"):
        message["Provides-Extra"] = extra
    monkeypatch.setattr(metadata, "metadata", lambda name: message)
    assert packages.extras() == {"cuda": ["numpy[gpu]>=1"], "plain": []}


def test_a_driver_without_a_device(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(report, "_probe", lambda: {**FOUND, "devices": ["CPU"]})
    monkeypatch.setattr(report, "_DRIVER", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (problem,) = examine()[1]
    assert "TensorFlow sees no GPU: pip install 'deeplab[cuda]'" in problem
