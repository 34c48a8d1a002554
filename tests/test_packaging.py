"""What the wheel and the sdist hold, what an installation finds, and the pages of documentation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GIN_FILES = {path.relative_to(ROOT / "gin").as_posix() for path in (ROOT / "gin").rglob("*.gin")}

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def anchors(page: Path) -> set[str]:
    """Those that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(target), f"{page}: {link}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert len(pages) > 10
    assert pages == set(re.findall(r"\]\(([a-z_]+\.md)\)", index))


def test_readme_is_short_and_its_picture_small() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    (picture,) = re.findall(r"!\[.*\]\((.*)\)", readme)
    assert (ROOT / picture).stat().st_size < 120_000


def copy_checkout(target: Path) -> Path:
    """Copies what belongs to the project: building leaves files behind."""
    ignored = (".*", "__pycache__", "*.egg-info", "build", "dist", "quickstart")
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*ignored))
    return target


def build(kind: str, checkout: Path, output: Path) -> Path:
    """Builds a "wheel" or "sdist" without looking for anything on the network."""
    code = f"import setuptools.build_meta as b; print(b.build_{kind}({str(output)!r}))"
    output.mkdir(exist_ok=True)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, check=True, capture_output=True, text=True
    )
    return output / result.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("source") / "project")


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", checkout, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", checkout, tmp_path_factory.mktemp("sdist"))


@pytest.mark.slow
def test_wheel(wheel: Path) -> None:
    assert len(GIN_FILES) > 30
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.jinja", "py.typed")
        for path in (ROOT / "deeplab").rglob(pattern)
    }
    assert len(modules) > 100 and modules <= names
    assert {f"deeplab/gin_files/{name}" for name in GIN_FILES} <= names
    # Nothing may land beside the package: a folder gin/ would be gin-config's, tests/ anybody's.
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"deeplab"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"gin/{name}" for name in GIN_FILES} <= names
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.py", "tools/test.sh"} <= names
    assert "tests/test_packaging.py" in names


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_installed_it_runs_from_another_folder(
    kind: str, checkout: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site_packages = environment / "lib" / version / "site-packages"
    # The dependencies come from here instead of from the network.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    target = ["--editable", checkout] if kind == "editable" else [request.getfixturevalue(kind)]
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        + ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", *target],
        check=True,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [environment / "bin" / "deeplab", "train", "--gin_file=runs/shapes_mobilenet_v2.gin"]
        + ["--dry_run", "--v=0"],
        cwd=elsewhere,
        env=clean,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "DATASET = 'shapes'" in result.stdout
    where = subprocess.run(
        [python, "-c", "import deeplab; print(deeplab.__file__)"],
        cwd=elsewhere,
        env=clean,
        check=True,
        capture_output=True,
        text=True,
    )
    expected = checkout if kind == "editable" else site_packages
    assert Path(where.stdout.strip()).is_relative_to(expected)
