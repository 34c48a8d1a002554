"""The scripts of tools/launch: what can be checked without the machines they are for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parents[1] / "tools" / "launch"


def local_cluster(*words: str) -> list[str]:
    return [sys.executable, str(LAUNCH / "local_cluster.py"), *words]


def test_each_worker_gets_its_place_and_its_lines_are_marked() -> None:
    code = "import json, os; print(json.loads(os.environ['TF_CONFIG'])['task']['index'] + 10)"
    result = subprocess.run(
        local_cluster("--workers=3", "--", sys.executable, "-c", code),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.splitlines()) == ["[0] 10", "[1] 11", "[2] 12"]


def test_the_gpus_are_shared_out() -> None:
    result = subprocess.run(
        local_cluster(
            "--workers=2", "--gpus_per_worker=2", "--", "printenv", "CUDA_VISIBLE_DEVICES"
        ),
        capture_output=True,
        text=True,
    )
    assert sorted(result.stdout.splitlines()) == ["[0] 0,1", "[1] 2,3"]


def test_the_first_failure_is_the_exit_code() -> None:
    code = "import os, sys, time\nif '\"index\": 1' in os.environ['TF_CONFIG']: sys.exit(3)\n"
    result = subprocess.run(
        local_cluster(
            "--workers=2", "--", sys.executable, "-c", code + "time.sleep(1); sys.exit(1)"
        )
    )
    assert result.returncode == 3


def test_signals_are_passed_on() -> None:
    # sigwait, not a handler and a sleep: a signal that comes just before the sleep begins would be
    # seen only after it.
    code = (
        "import signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        "print('ready', flush=True)\n"
        "signal.sigwait({signal.SIGTERM})\n"
        "sys.exit(143)"
    )
    with subprocess.Popen(
        local_cluster("--workers=2", "--", sys.executable, "-c", code),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert {process.stdout.readline() for _ in range(2)} == {"[0] ready\n", "[1] ready\n"}
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143


@pytest.mark.parametrize("name", ["slurm.sbatch", "tpu_vm.sh"])
def test_shell_scripts_parse(name: str) -> None:
    subprocess.run(["bash", "-n", str(LAUNCH / name)], check=True)


def test_slurm_script_hands_its_arguments_to_every_task(tmp_path: Path) -> None:
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    result = subprocess.run(
        ["bash", str(LAUNCH / "slurm.sbatch"), "--gin_file=a b.gin"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
    )
    words = result.stdout.splitlines()
    assert words[-4:] == ["deeplab", "train", "--cluster=slurm", "--gin_file=a b.gin"]


def test_tpu_script_quotes_its_arguments(tmp_path: Path) -> None:
    gcloud = tmp_path / "gcloud"
    gcloud.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    gcloud.chmod(0o755)
    result = subprocess.run(
        ["bash", str(LAUNCH / "tpu_vm.sh"), "vm", "zone", "--gin_bindings=BACKBONE='xception_65'"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
    )
    command = result.stdout.splitlines()[-1].removeprefix("--command=")
    said = subprocess.run(
        ["bash", "-c", f"deeplab() {{ printf '%s\\n' \"$@\"; }}; {command}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines()[-1] == "--gin_bindings=BACKBONE='xception_65'"


def test_jobset_fits_together() -> None:
    text = (LAUNCH / "kubernetes_jobset.yaml").read_text()

    def value(pattern: str) -> str:
        (found,) = re.findall(pattern, text, flags=re.MULTILINE)
        return str(found)

    count = value(r"^ +parallelism: (\d+)$")
    assert value(r"^ +completions: (\d+)$") == count
    assert value(r'DEEPLAB_NUM_WORKERS\n +value: "(\d+)"$') == count
    jobset = value(r"^metadata:\n  name: (\S+)$")
    job = value(r"replicatedJobs:\n +- name: (\S+)$")
    port = value(r"containerPort: (\d+)$")
    address = value(r"DEEPLAB_WORKER_ADDRESS\n +value: (\S+)$")
    assert address == f"{jobset}-{job}-0-{{index}}.{jobset}:{port}"
