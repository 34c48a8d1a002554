"""Real worker processes on loopback: equal to one process, and one that is lost or told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from source_folders import make_folder, numbered

import deeplab
from deeplab.configuration import read_configuration
from deeplab.model_dir import find_checkpoint, list_checkpoints

pytestmark = pytest.mark.slow

RUN = "runs/folder_mobilenet_v2.gin"
# Few layers: each batch norm costs TensorFlow seconds to set up on several workers. Images are
# larger than the crop at every scale, since networks of random weights are badly conditioned on
# padded regions. sgd, since the first steps of adamw turn rounding into signs.
SETTINGS = (
    "BACKBONE='resnet_18'",
    "CROP_SIZE=33",
    "GLOBAL_BATCH_SIZE=4",
    "OPTIMIZER='sgd'",
    "BASE_LEARNING_RATE=0.01",
    "DROPOUT_RATE=0.0",
    "DataConfig.min_scale=1.0",
    "DataConfig.max_scale=1.5",
    "ModelConfig.atrous_rates=()",
    "ModelConfig.decoder=False",
    "ModelConfig.aspp_channels=16",
)
LONG = (*SETTINGS, "TRAIN_STEPS=100000", "CHECKPOINT_STEPS=2", "EVAL_STEPS=0")
START_SECONDS = 400  # on a busy machine


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("data")
    source = make_folder(root / "source", numbered(12, (40, 48)))
    # Every other image has next to no labeled pixel: replicas have very different numbers.
    for path in sorted((source / "labels").iterdir())[::2]:
        mask = np.asarray(Image.open(path)).copy()
        mask[2:] = 255
        Image.fromarray(mask).save(path)
    split = root / "source" / "splits"
    split.mkdir()
    names = list(numbered(12))
    (split / "train.txt").write_text("\n".join(names[:7]) + "\n")
    (split / "val.txt").write_text("\n".join(names[7:]) + "\n")
    return {"source_dir": str(source), "data_dir": str(root / "prepared")}


def workers(
    count: int, model_dir: Path, folders: dict[str, str], settings: tuple[str, ...]
) -> contextlib.AbstractContextManager[list[subprocess.Popen[str]]]:
    """The workers of a training job."""
    command = [sys.executable, "-m", "deeplab", "train", f"--gin_file={RUN}"]
    command += [f"--gin_bindings={setting}" for setting in settings]
    command += [f"--{name}={path}" for name, path in folders.items()]
    return started(count, [*command, f"--model_dir={model_dir}"])


@contextlib.contextmanager
def started(count: int, command: list[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of one job; none of them outlives the context."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in listeners]
    for one in listeners:
        one.close()
    processes = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
                ),
            },
        )
        for index in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def wait_for_step(model_dir: Path, step: int, processes: list[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = list_checkpoints(model_dir / "checkpoints")
        if found and found[-1].step >= step:
            return
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes), processes[0].communicate()
        time.sleep(0.05)


def weights(model_dir: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(find_checkpoint(model_dir).prefix)
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if name.endswith("VARIABLE_VALUE")}


def test_one_replica_equals_two_and_two_workers(folders: dict[str, str], tmp_path: Path) -> None:
    settings = (*SETTINGS, "TRAIN_STEPS=3", "EVAL_STEPS=3", "TrainConfig.log_steps=1")
    config = read_configuration([RUN], list(settings)).train
    for strategy in ("one_device", "mirrored"):
        deeplab.train(config, model_dir=tmp_path / strategy, strategy=strategy, **folders)
    # Several steps a call are the same steps, here as well.
    in_calls = (*settings, "TrainConfig.steps_per_loop=2")
    with workers(2, tmp_path / "workers", folders, in_calls) as processes:
        printed = [process.communicate(timeout=START_SECONDS) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], printed
    # The chief tells; the other says that it is there and no more.
    assert "strategy: multi_worker (2 workers, 2 CPU replicas)" in printed[0][0]
    assert re.fullmatch(r"worker 1 \(.*\): strategy: multi_worker .*\n", printed[1][0])
    # Three steps from random weights predict one class; the chief alone says so.
    assert re.fullmatch(r"(warning: predictions have collapsed .*\n)?", printed[0][1])
    assert printed[1][1] == ""

    histories = {
        name: json.loads((tmp_path / name / "history.json").read_text())
        for name in ("one_device", "mirrored", "workers")
    }
    expected = weights(tmp_path / "one_device")
    for name in ("mirrored", "workers"):
        for one, other in zip(
            histories["one_device"]["train"], histories[name]["train"], strict=True
        ):
            assert other["loss"] == pytest.approx(one["loss"], rel=1e-5), name
        found = weights(tmp_path / name)
        assert found.keys() == expected.keys()
        for path, value in expected.items():
            if path.startswith("model/"):
                # Relative, too: moving variances are in the hundreds, where float32 has 1e-5 steps.
                np.testing.assert_allclose(found[path], value, rtol=1e-5, atol=1e-5, err_msg=path)

    # Five images on two workers: each was counted once (more or fewer are an error there).
    measured = deeplab.evaluate(model_dir=tmp_path / "workers", progress=False)
    assert measured["num_images"] == 5
    during = histories["workers"]["eval"][-1]
    for name in ("miou", "pixel_accuracy", "mean_accuracy"):
        assert during[name] == measured[name]


def test_lost_worker_is_named_and_sigterm_of_one_stops_all(
    folders: dict[str, str], tmp_path: Path
) -> None:
    model_dir = tmp_path / "run"
    with workers(2, model_dir, folders, LONG) as processes:
        wait_for_step(model_dir, 2, processes)
        processes[1].kill()
        began = time.monotonic()
        _, errors = processes[0].communicate(timeout=60)
        assert time.monotonic() - began < 30
        assert processes[0].returncode == 1
        assert re.fullmatch(
            r"deeplab: lost worker 1 \(127\.0\.0\.1:\d+\): .*; the same commands resume.*\n", errors
        )
    saved = find_checkpoint(model_dir).step

    with workers(2, model_dir, folders, LONG) as processes:
        wait_for_step(model_dir, saved + 2, processes)
        processes[1].send_signal(signal.SIGTERM)
        printed = [process.communicate(timeout=60) for process in processes]
        assert [process.returncode for process in processes] == [143, 143]
    assert f"resuming from step {saved}\n" in printed[0][0]
    stopped = int(re.search(r"stopped at step (\d+); the same command resumes", printed[0][0])[1])
    assert find_checkpoint(model_dir).step == stopped
    assert [errors for _, errors in printed] == ["deeplab: terminated\n"] * 2


AVERAGING = """
import sys, keras
from deeplab.training.distribution.cluster import resolve_cluster
from deeplab.training.initial_weights import average_over_workers
from deeplab.training.distribution.strategies import make_strategy
from deeplab.training.distribution.workers import join

with join(resolve_cluster("tf_config")) as workers:
    strategy, _ = make_strategy("auto", workers.cluster)
    with strategy.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    weight = model.weights[0].value
    weight.assign([[1.0], [10.0 * workers.index]])
    average_over_workers(model, strategy, workers)
    sys.stdout.write(f"{weight.numpy().ravel().tolist()}")
"""


def test_what_each_worker_computed_is_averaged() -> None:
    with started(2, [sys.executable, "-c", AVERAGING]) as processes:
        printed = [process.communicate(timeout=START_SECONDS) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], printed
    assert [output.splitlines()[-1] for output, _ in printed] == ["[1.0, 5.0]"] * 2
