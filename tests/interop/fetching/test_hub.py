"""Repositories of the Hugging Face Hub, from a server on this machine that answers like it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from fake_hub import COMMIT, OTHER_COMMIT, Hub, Repository, fake_hub

import deeplab
from deeplab.interop.fetching import hub as fetching_hub

pytest.importorskip("huggingface_hub")

pytestmark = pytest.mark.slow

TIMM = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 99,
    "onnx/model.safetensors": b"of another library",
    "pytorch_model.bin": b"pickle",
}
KERAS = {
    "saved_model.pb": b"graph",
    "keras_metadata.pb": b"more",
    "variables/variables.index": b"index",
    "variables/variables.data-00000-of-00001": b"data",
    "model.keras": b"zip",
    "assets/a.txt": b"asset",
}
# The library reads its variables when it is imported, so a process of its own; without the package
# around it, which would import TensorFlow.
SCRIPT = """
import json, os, sys, types
package = types.ModuleType("deeplab.interop")
package.__path__ = [sys.argv[1]]
sys.modules["deeplab.interop"] = package
from deeplab.interop.fetching import hub
for line in sys.stdin:
    function, name = json.loads(line)
    try:
        path, revision, lines = getattr(hub, function)(name)
        files = {n: open(os.path.join(path, n), "rb").read().decode() for n in hub._names_in(path)}
        print(json.dumps([files, revision, lines, None]))
    except hub.DeepLabError as error:
        print(json.dumps([None, None, [], [type(error).__name__, str(error)]]))
"""


class Outcome(NamedTuple):
    """What fetching a name gave: files and where they come from, or an error."""

    files: dict[str, str] | None
    revision: str | None
    lines: list[str]
    error: list[str] | None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with fake_hub() as hub:
        revisions = {"main": COMMIT, COMMIT: COMMIT, "v1": OTHER_COMMIT, OTHER_COMMIT: OTHER_COMMIT}
        hub.repositories |= {
            "timm/xception65.tf_in1k": Repository(TIMM, revisions),
            "old/model": Repository({n: TIMM[n] for n in ("config.json", "pytorch_model.bin")}),
            "keras-io/deeplab": Repository(KERAS),
            "some/notes": Repository({"README.md": b"nothing"}),
            "some/broken": Repository(TIMM, cut="model.safetensors"),
            "some/longer": Repository(TIMM, longer="model.safetensors"),
        }
        yield hub


def outcomes(
    home: Path, endpoint: str, calls: Sequence[tuple[str, str]], **variables: str
) -> list[Outcome]:
    """Fetches names in a process of its own, which says nothing else."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, **variables}
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(fetching_hub.__file__).parents[1])],
        input="".join(json.dumps(call) + "\n" for call in calls),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return [Outcome(*json.loads(line)) for line in process.stdout.splitlines()]


@pytest.fixture(scope="module")
def online(home: Path, hub: Hub) -> dict[str, Outcome]:
    """By name."""
    calls = [
        ("fetch_timm", "xception65.tf_in1k"),
        ("fetch_timm", "timm/xception65.tf_in1k@v1"),
        ("fetch_timm", "timm/xception65.tf_in1k@v9"),
        ("fetch_torch", "old/model"),
        ("fetch_keras", "keras-io/deeplab"),
        ("fetch_torch", "nobody/nothing"),
        ("fetch_torch", "some/notes"),
        ("fetch_torch", "some/broken"),
        ("fetch_torch", "some/longer"),
        ("fetch_torch", "a..b/c"),
        ("fetch_torch", "deeplab.safetensors"),
        ("fetch_timm", "kadirnar/timm_model_list"),
    ]
    found = outcomes(home, hub.url, calls)
    return {name: outcome for (_, name), outcome in zip(calls, found, strict=True)}


def test_the_needed_files_and_the_commit(online: dict[str, Outcome]) -> None:
    files, revision, lines, _ = online["xception65.tf_in1k"]
    assert files == {n: TIMM[n].decode() for n in ("config.json", "model.safetensors")}
    assert revision == COMMIT
    assert lines == [f"timm/xception65.tf_in1k of the Hugging Face Hub at {COMMIT}"]
    assert online["timm/xception65.tf_in1k@v1"].revision == OTHER_COMMIT
    files = online["old/model"].files
    assert files is not None and set(files) == {"config.json", "pytorch_model.bin"}
    files = online["keras-io/deeplab"].files
    assert files is not None and set(files) == {
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/xception65.tf_in1k@v9", "has no revision 'v9'"),
        ("nobody/nothing", "there is no public repository nobody/nothing"),
        ("some/notes", "holds none of *.safetensors, pytorch_model*.bin, pytorch"),
        ("a..b/c", "a..b/c is no id of a repository"),
        ("deeplab.safetensors", "does not exist, and is no repository of the Hugging Face Hub"),
        ("kadirnar/timm_model_list", "is a list of the names of models, without any weights"),
        ("some/broken", "/some/broken/tree/main by hand and pass their folder: --checkpoint="),
        ("some/longer", "cannot download some/longer ("),
    ],
)
def test_one_line_says_what_is_wrong(online: dict[str, Outcome], name: str, message: str) -> None:
    error = online[name].error
    assert error is not None and error[0] == "DeepLabError"
    assert message in error[1] and "\n" not in error[1]


def test_without_a_network(online: dict[str, Outcome], home: Path) -> None:
    """What has been downloaded is there; for the rest one line says what to fetch by hand."""
    calls = [
        ("fetch_timm", "xception65.tf_in1k"),
        ("fetch_torch", "google/deeplab"),
        ("fetch_torch", "some/broken"),  # its weights never came
    ]
    for endpoint, offline, why in (
        ("http://127.0.0.1:9", "0", "the Hub cannot be reached"),
        ("http://127.0.0.1:9", "1", "HF_HUB_OFFLINE is set"),
    ):
        known, unknown, broken = outcomes(home, endpoint, calls, HF_HUB_OFFLINE=offline)
        assert known.files == online["xception65.tf_in1k"].files
        assert known.revision == COMMIT
        assert why in known.lines[0]
        assert unknown.error is not None and unknown.error[0] == "NoNetworkError"
        assert why in unknown.error[1]
        assert "google/deeplab/tree/main by hand and pass their folder" in unknown.error[1]
        assert broken.error is not None and why in broken.error[1]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(deeplab.DeepLabError, match=r"pip install 'deeplab\[hub\]'"):
        fetching_hub.fetch_timm("xception65.tf_in1k")
