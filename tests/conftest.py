"""Fixtures for all tests: quiet TensorFlow, two logical CPUs, the optional reference data."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest
from command_line import Command

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run the tests marked slow")


def pytest_configure(config: pytest.Config) -> None:
    import tensorflow as tf

    # Must happen before the first operation: tests of replicas need two devices.
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-slow"):
        # Files of nothing but slow tests first, so that none is left to one process at the end.
        slow = collections.Counter(item.path for item in items if "slow" in item.keywords)
        total = collections.Counter(item.path for item in items)
        items.sort(key=lambda item: -slow[item.path] / total[item.path])
        return
    skip = pytest.mark.skip(reason="slow: needs --run-slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="module")
def shallow_backbone() -> Iterator[None]:
    """Networks of MobileNetV2 have few layers in this file."""
    from shallow_backbone import shallow_mobilenet_v2

    with shallow_mobilenet_v2():
        yield


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder with outputs of the original code, real weights and real images."""
    path = Path(os.environ.get("DEEPLAB_REFERENCE_DATA", ROOT.parent / "shared"))
    if path.is_dir():
        return path
    if os.environ.get("DEEPLAB_REQUIRE_REFERENCE") == "1":
        pytest.fail(f"DEEPLAB_REQUIRE_REFERENCE=1, but there is no reference data at {path}")
    pytest.skip(f"no reference data at {path} (set DEEPLAB_REFERENCE_DATA)")


@pytest.fixture
def run_command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line; gives its exit code and what it wrote to standard output and error."""
    from deeplab.cli.main import main

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return run
