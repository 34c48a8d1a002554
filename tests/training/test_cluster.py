"""The workers of a job: reading where they are, the rendezvous, agreeing, missing one."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deeplab.cli import main as cli
from deeplab.errors import DeepLabError, Terminated
from deeplab.training.distribution.cluster import (
    Cluster,
    expand_counts,
    expand_hosts,
    resolve_cluster,
)
from deeplab.training.distribution.rendezvous import Connection, meet
from deeplab.training.distribution.workers import Workers, start_seconds
from deeplab.training.run_settings import check_same

TWO = ["a:1", "b:1"]

RENDEZVOUS = "deeplab.training.distribution.rendezvous"


def tf_config(cluster: object, task: object = None) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


@pytest.mark.parametrize(
    ("cluster", "task", "expected"),
    [
        ({"worker": TWO}, {"type": "worker", "index": 0}, Cluster(("a:1", "b:1"), 0)),
        ({"worker": TWO}, {"type": "worker", "index": "1"}, Cluster(("a:1", "b:1"), 1)),
        (
            {"chief": ["c:1"], "worker": TWO},
            {"type": "worker", "index": 1},
            Cluster(("c:1", "a:1", "b:1"), 2),
        ),
        (
            {"chief": ["c:1"], "worker": TWO},
            {"type": "chief", "index": 0},
            Cluster(("c:1", "a:1", "b:1"), 0),
        ),
        (
            {"worker": ["[::1]:5", "b-c.d:65535"]},
            {"type": "worker", "index": 0},
            Cluster(("[::1]:5", "b-c.d:65535"), 0),
        ),
        ({"worker": ["a:1"]}, {"type": "worker", "index": 0}, None),
    ],
)
def test_tf_config(cluster: object, task: object, expected: Cluster | None) -> None:
    assert resolve_cluster("tf_config", tf_config(cluster, task)) == expected


def test_without_a_description_a_process_is_alone() -> None:
    assert resolve_cluster("tf_config", {}) is None
    assert resolve_cluster("tf_config", {"TF_CONFIG": "{}"}) is None


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TF_CONFIG": "{cluster"}, "TF_CONFIG is not JSON"),
        ({"TF_CONFIG": "[1]"}, "must be a JSON object"),
        ({"TF_CONFIG": '{"task": {"type": "worker", "index": 0}}'}, 'has no "cluster"'),
        (tf_config({}), 'has no "cluster"'),
        (tf_config({"worker": TWO}), 'has no "task"'),
        (tf_config({"worker": TWO}, {"type": "worker"}), 'has no "task"'),
        (tf_config({"worker": "a:1"}, {"type": "worker", "index": 0}), "must be a list"),
        (tf_config({"worker": TWO}, {"type": "worker", "index": 2}), "task index is 2; .* 0..1"),
        (tf_config({"worker": TWO}, {"type": "worker", "index": -1}), "task index is -1"),
        (tf_config({"worker": TWO}, {"type": "worker", "index": None}), "task index is None"),
        (tf_config({"worker": TWO}, {"type": "chief", "index": 0}), "type is 'chief'; .*: worker"),
        (tf_config({"worker": ["a:1", "a:1"]}, {"type": "worker", "index": 0}), "a:1 belongs to"),
        (tf_config({"worker": ["a", "b:1"]}, {"type": "worker", "index": 0}), "'a' is not an"),
        (tf_config({"worker": ["a:0", "b:1"]}, {"type": "worker", "index": 0}), "'a:0' is not"),
        (tf_config({"worker": [5, "b:1"]}, {"type": "worker", "index": 0}), "5 is not an address"),
        (tf_config({"worker": ["a:99999", "b:1"]}, {"type": "worker", "index": 0}), "'a:99999'"),
        (tf_config({"chief": TWO}, {"type": "chief", "index": 0}), "names 2 chiefs"),
        (tf_config({"worker": []}, {"type": "worker", "index": 0}), "names no worker"),
        (tf_config({"worker": TWO, "ps": ["c:1"]}, {}), "job 'ps' is not supported"),
    ],
)
def test_a_wrong_tf_config(environment: dict[str, str], message: str) -> None:
    with pytest.raises(DeepLabError, match=message) as caught:
        resolve_cluster("tf_config", environment)
    assert "\n" not in str(caught.value)


def test_unknown_kind_of_cluster() -> None:
    with pytest.raises(DeepLabError, match="did you mean 'slurm'"):
        resolve_cluster("slrum", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node1", ["node1"]),
        ("gpu[1-3]", ["gpu1", "gpu2", "gpu3"]),
        ("gpu[08-10,12],login-1", ["gpu08", "gpu09", "gpu10", "gpu12", "login-1"]),
        ("r[1-2]n[1,3].x", ["r1n1.x", "r1n3.x", "r2n1.x", "r2n3.x"]),
    ],
)
def test_slurm_nodes(text: str, expected: list[str]) -> None:
    assert expand_hosts(text) == expected


@pytest.mark.parametrize(
    "text", ["gpu[1-", "gpu1]", "gpu[3-1]", "gpu[a]", "gpu[]", "a,,b", ",", "a b"]
)
def test_bad_slurm_nodes(text: str) -> None:
    with pytest.raises(DeepLabError, match="bad list of nodes"):
        expand_hosts(text)


def test_slurm_counts() -> None:
    assert expand_counts("2(x3),1") == [2, 2, 2, 1]
    with pytest.raises(DeepLabError, match="bad list of tasks"):
        expand_counts("2x3")


SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_NTASKS": "3",
    "SLURM_JOB_ID": "1001",
    "SLURM_JOB_NODELIST": "gpu[1-2]",
    "SLURM_TASKS_PER_NODE": "2,1",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "0",
}


def test_slurm() -> None:
    cluster = resolve_cluster("slurm", {**SLURM, "DEEPLAB_PORT": "7000"})
    assert cluster == Cluster(("gpu1:7000", "gpu1:7001", "gpu2:7000"), 2)
    ports = {
        resolve_cluster("slurm", {**SLURM, "SLURM_JOB_ID": job}).workers[0] for job in ("7", "8")
    }
    assert len(ports) == 2
    assert (
        resolve_cluster(
            "slurm",
            {
                **SLURM,
                "SLURM_STEP_NUM_TASKS": "1",
                "SLURM_PROCID": "0",
                "SLURM_STEP_NODELIST": "gpu2",
                "SLURM_STEP_TASKS_PER_NODE": "1",
                "SLURM_NODEID": "0",
            },
        )
        is None
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SLURM_PROCID": ""}, "SLURM_PROCID is not set; start the workers with srun"),
        ({"SLURM_PROCID": "x"}, "SLURM_PROCID=x is not a whole number"),
        ({"SLURM_PROCID": "3"}, "SLURM_PROCID is 3; .* 0..2"),
        ({"SLURM_NTASKS": "4"}, "4 tasks do not fit 2 nodes"),
        ({"SLURM_PROCID": "1"}, "use srun --distribution=block"),
        ({"DEEPLAB_PORT": "70000"}, "'gpu1:70000' is not an address"),
    ],
)
def test_a_wrong_slurm_step(change: dict[str, str], message: str) -> None:
    with pytest.raises(DeepLabError, match=message):
        resolve_cluster("slurm", {**SLURM, **change})


KUBERNETES = {
    "JOB_COMPLETION_INDEX": "1",
    "DEEPLAB_NUM_WORKERS": "2",
    "DEEPLAB_WORKER_ADDRESS": "train-workers-0-{index}.train",
}


def test_kubernetes() -> None:
    expected = Cluster(("train-workers-0-0.train:2222", "train-workers-0-1.train:2222"), 1)
    assert resolve_cluster("kubernetes", KUBERNETES) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"JOB_COMPLETION_INDEX": ""}, "JOB_COMPLETION_INDEX is not set"),
        ({"JOB_COMPLETION_INDEX": "2"}, "JOB_COMPLETION_INDEX is 2"),
        ({"DEEPLAB_NUM_WORKERS": "two"}, "DEEPLAB_NUM_WORKERS=two is not a whole number"),
        ({"DEEPLAB_WORKER_ADDRESS": "train"}, r"has no \{index\} in it"),
    ],
)
def test_a_wrong_kubernetes_job(change: dict[str, str], message: str) -> None:
    with pytest.raises(DeepLabError, match=message):
        resolve_cluster("kubernetes", {**KUBERNETES, **change})


# Rendezvous


def local_cluster(count: int) -> list[Cluster]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    for one in sockets:
        one.close()
    return [Cluster(addresses, index) for index in range(count)]


def at_once(*works: Callable[[], object]) -> list[object]:
    """Runs functions in threads of their own; gives their results, or the errors they raised."""
    results: list[object] = [None] * len(works)

    def run(place: int, work: Callable[[], object]) -> None:
        try:
            results[place] = work()
        except BaseException as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return results


def test_a_worker_that_does_not_come_is_named() -> None:
    chief, here, missing = local_cluster(3)
    errors = at_once(lambda: meet(chief, 0.5), lambda: meet(here, 5))
    for error in errors:
        assert isinstance(error, DeepLabError)
        assert f"worker 2 ({missing.workers[2]}) did not come within 0.5 s" in str(error)


def test_a_chief_that_is_not_there_is_named() -> None:
    _, worker = local_cluster(2)
    with pytest.raises(
        DeepLabError, match=r"worker 0 \(.*, the chief\) was not found within 0.3 s"
    ):
        meet(worker, 0.3)


def test_an_occupied_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeplab.training.distribution.rendezvous._PORT_SECONDS", 0.0)
    chief, _ = local_cluster(2)
    with (
        socket.create_server(("", int(chief.workers[0].split(":")[1]))),
        pytest.raises(DeepLabError, match="worker 0 .* cannot listen at its port: .*in use"),
    ):
        meet(chief, 1)


def test_who_does_not_belong_is_sent_away() -> None:
    chief, worker = local_cluster(2)
    other = Cluster((chief.workers[0], "elsewhere:1"), 1)

    def stranger() -> None:
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", port)) as connected:
                    connected.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    assert connected.recv(100) == b""
                return
            except ConnectionRefusedError:
                time.sleep(0.02)

    def late() -> dict[int, Connection]:
        time.sleep(0.5)
        return meet(worker, 5)

    port = int(chief.workers[0].split(":")[1])
    monkey = pytest.MonkeyPatch()
    monkey.setattr(f"{RENDEZVOUS}._own_port", lambda cluster: _listen(cluster, chief))
    try:
        met, refused, said, came = at_once(
            lambda: meet(chief, 5), lambda: meet(other, 5), stranger, late
        )
    finally:
        monkey.undo()
    assert isinstance(refused, DeepLabError)
    assert "the chief's cluster is" in str(refused)
    assert said is None
    assert set(met) == {1} and set(came) == {0}
    for connection in (*met.values(), *came.values()):
        connection.close()


def _listen(cluster: Cluster, chief: Cluster) -> socket.socket:
    port = int(chief.workers[0].split(":")[1]) if cluster.is_chief else 0
    return socket.create_server(("127.0.0.1", port))


# Running


class Job:
    """Workers in threads of one process, whose ends are noted instead of ending it."""

    def __init__(self, count: int, **settings: float) -> None:
        clusters = local_cluster(count)
        self.ends: dict[int, tuple[int, str]] = {}
        connections = at_once(*(lambda c=c: meet(c, 10) for c in clusters))
        self.workers = [
            Workers(
                cluster,
                connected,
                end=lambda code, line, i=cluster.index: self.ends.__setitem__(i, (code, line)),
                grace_seconds=0.1,
                **settings,
            )
            for cluster, connected in zip(clusters, connections, strict=True)
        ]

    def each(self, work: Callable[[Workers], object]) -> list[object]:
        def inside(worker: Workers) -> object:
            with worker:
                return work(worker)

        return at_once(*(lambda w=w: inside(w) for w in self.workers))

    def close(self) -> None:
        for worker in self.workers:
            worker._leave(None)
            worker._thread.join(10)


def test_values_are_combined_in_order_for_all() -> None:
    def work(worker: Workers) -> list[object]:
        found = worker.combine("names", worker.index, lambda values: [*values, "together"])
        worker.wait("a place")
        return found

    job = Job(3)
    assert job.each(work) == [[0, 1, 2, "together"]] * 3
    assert not job.ends


def test_alone_there_is_nobody_to_wait_for() -> None:
    with Workers() as alone:
        assert alone.is_chief and alone.count == 1
        assert alone.combine("x", 5, sum) == 5
        assert alone.agree_to_stop(3) is None


def test_the_signal_of_one_worker_stops_all_at_one_step() -> None:
    def work(worker: Workers) -> int:
        for step in range(100):
            if worker.index == 1 and step == 3:
                worker.stop_signal = signal.SIGTERM
            if worker.agree_to_stop(step):
                worker.finish()
                return step
        raise AssertionError

    job = Job(3)
    assert job.each(work) == [3, 3, 3]
    assert not job.ends


def test_a_signal_reaches_workers_that_are_busy() -> None:
    def work(worker: Workers) -> int | None:
        if worker.index == 2:
            worker.stop_signal = signal.SIGTERM
        deadline = time.monotonic() + 10
        while worker.stop_signal is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return worker.stop_signal

    assert Job(3).each(work) == [signal.SIGTERM] * 3


def test_a_lost_worker_ends_the_others_and_is_named() -> None:
    job = Job(3)
    address = job.workers[2].cluster.workers[2]
    # What the operating system does for a process that is killed.
    job.workers[2]._left = True
    job.workers[2]._thread.join()
    job.workers[2]._connections[0].close()
    began = time.monotonic()
    while len(job.ends) < 2 and time.monotonic() < began + 5:
        time.sleep(0.01)
    assert job.ends.keys() == {0, 1}
    for code, line in job.ends.values():
        assert code == 1
        assert line.startswith(f"lost worker 2 ({address}): its connection was closed; ")
    job.close()


def test_waiting_for_a_lost_worker_raises() -> None:
    def work(worker: Workers) -> None:
        if worker.index == 1:
            worker._left = True
            worker._thread.join()
            worker._connections[0].close()
            return
        worker.wait("a place")

    first, _, third = Job(3).each(work)
    for error in (first, third):
        assert isinstance(error, DeepLabError) and "lost worker 1" in str(error)


def test_a_silent_worker_is_lost() -> None:
    job = Job(2, silence_seconds=0.5)
    job.workers[1]._left = True  # stands still: the connection stays open
    began = time.monotonic()
    while not job.ends and time.monotonic() < began + 10:
        time.sleep(0.01)
    code, line = job.ends[0]
    assert code == 1 and "no sign of life for 0.5 s" in line
    job.close()


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (DeepLabError("mask a.png: bad"), DeepLabError, "worker 1 .* failed: mask a.png: bad"),
        (Terminated(), Terminated, "worker 1 .* was terminated"),
        (KeyboardInterrupt(), KeyboardInterrupt, "worker 1 .* was interrupted"),
    ],
)
def test_a_worker_that_leaves_says_why(
    error: BaseException, expected: type[BaseException], message: str
) -> None:
    def work(worker: Workers) -> None:
        if worker.index == 1:
            raise error
        worker.wait("a place")

    for found in Job(3).each(work)[::2]:
        assert type(found) is expected
        with pytest.raises(expected, match=message):
            raise found


def test_workers_at_different_places() -> None:
    errors = Job(2).each(lambda worker: worker.wait(f"step {worker.index}"))
    assert all("different places: 'step 0' and 'step 1'" in str(error) for error in errors)


def test_what_takes_too_long_ends_the_job() -> None:
    job = Job(2)
    with job.workers[0].limit(0.05, "no connection"):
        began = time.monotonic()
        while len(job.ends) < 2 and time.monotonic() < began + 5:
            time.sleep(0.01)
    for code, line in job.ends.values():
        assert code == 1 and "the chief): no connection within 0.05 s" in line
    assert job.ends.keys() == {0, 1}
    job.close()


def test_what_differs_is_named() -> None:
    cluster = Cluster(("a:1", "b:1"), 0)
    check_same([{"seed": 1}, {"seed": 1}], cluster)
    with pytest.raises(DeepLabError, match=r"worker 1 \(b:1\): seed is 2 there and 1 at the chief"):
        check_same([{"seed": 1}, {"seed": 2}], cluster)


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_wrong_time_to_wait(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPLAB_START_SECONDS", text)
    with pytest.raises(DeepLabError, match=f"DEEPLAB_START_SECONDS={text} is not"):
        start_seconds()


# The command


@pytest.mark.parametrize(
    ("environment", "flags", "message"),
    [
        ({"TF_CONFIG": "{"}, [], "TF_CONFIG is not JSON"),
        ({}, ["--cluster=slurm"], "SLURM_PROCID is not set"),
        ({}, ["--cluster=kubernetes"], "JOB_COMPLETION_INDEX is not set"),
        ({}, ["--strategy=multi_worker"], "needs a cluster of more than one worker"),
        (
            tf_config({"worker": TWO}, {"type": "worker", "index": 0}),
            ["--strategy=one_device"],
            "'one_device' trains in one process, but the cluster has 2 workers",
        ),
        (
            tf_config({"worker": ["127.0.0.1:9", "b:1"]}, {"type": "worker", "index": 1}),
            [],
            r"worker 0 \(127.0.0.1:9, the chief\) was not found within 0.2 s: Connection refused",
        ),
    ],
)
def test_a_bad_cluster_is_one_line_and_leaves_nothing(
    environment: dict[str, str],
    flags: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**environment, "DEEPLAB_START_SECONDS": "0.2"}.items():
        monkeypatch.setenv(name, value)
    # A process of a job ends by itself, which is not for this one.
    monkeypatch.setattr("atexit.register", lambda leave: None)
    # The port of worker 1 may be any here.
    monkeypatch.setattr(
        f"{RENDEZVOUS}._own_port",
        lambda _: socket.create_server(("127.0.0.1", 0)),
    )
    words = ["train", "--gin_file=runs/shapes_mobilenet_v2.gin", f"--model_dir={tmp_path}/run"]
    assert cli.main([*words, *flags]) == 1
    errors = capfd.readouterr().err
    assert re.match(f"deeplab: .*{message}", errors) and errors.count("\n") == 1
    assert not any(tmp_path.iterdir())
