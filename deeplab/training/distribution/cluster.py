"""Which processes train together: read from TF_CONFIG, Slurm or Kubernetes."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from deeplab.errors import DeepLabError, unknown_name

_SLURM_FIRST_PORT, _SLURM_PORTS = 15_000, 15_000  # below the ports that Linux hands out itself
_KUBERNETES_PORT = 2222
_LARGEST_PORT = 65_535
_HOST = r"(?:[^,\[\]\s]|\[[^\[\]]+\])+"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a job; the first one is the chief.

    Attributes:
        workers: "host:port" of each, in the order that all of them agree on.
        index: which of them this process is, 0..len(workers)-1.
    """

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process prepares the data, writes the model folder and prints."""
        return self.index == 0

    def name(self, index: int) -> str:
        """How messages name a worker."""
        return f"worker {index} ({self.workers[index]}{', the chief' if index == 0 else ''})"


def resolve_cluster(kind: str, environment: Mapping[str, str] | None = None) -> Cluster | None:
    """The cluster that this process was started in.

    Args:
        kind: "tf_config": the variable TF_CONFIG, as TensorFlow, Kubeflow and Vertex AI set it;
            "slurm": the variables of a Slurm step, one task per worker; "kubernetes": the index of
            a pod of an indexed Job or JobSet, with DEEPLAB_NUM_WORKERS and DEEPLAB_WORKER_ADDRESS
            (docs/distribution.md).
        environment: variables; None: those of the process.

    Returns:
        None if it trains alone.

    Raises:
        DeepLabError: if the description is wrong; the message says what is.
    """
    if kind not in CLUSTERS:
        raise unknown_name("cluster", kind, CLUSTERS)
    cluster = CLUSTERS[kind](os.environ if environment is None else environment)
    if cluster is None:
        return None
    source = "TF_CONFIG" if kind == "tf_config" else f"--cluster={kind}"
    for address in cluster.workers:
        split_address(address, source)
        if cluster.workers.count(address) > 1:
            raise DeepLabError(f"{source}: the address {address} belongs to two workers")
    return cluster if len(cluster.workers) > 1 else None


def _from_tf_config(environment: Mapping[str, str]) -> Cluster | None:
    text = environment.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
    except ValueError as error:
        raise DeepLabError(f"TF_CONFIG is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise DeepLabError(f"TF_CONFIG must be a JSON object, not {text!r}")
    jobs = config.get("cluster")
    if jobs is None and "task" not in config:
        return None  # what some platforms set for a process that is alone
    if not isinstance(jobs, dict) or not jobs:
        raise DeepLabError('TF_CONFIG has no "cluster": {"worker": ["host:port", ...]}')
    others = sorted(set(jobs) - {"chief", "worker", "evaluator"})
    if others:
        raise DeepLabError(
            f"TF_CONFIG: job {others[0]!r} is not supported; the jobs are chief and worker "
            "(parameter servers do not exist here)"
        )
    chiefs, workers = (_addresses(name, jobs.get(name, [])) for name in ("chief", "worker"))
    if len(chiefs) > 1:
        raise DeepLabError(f"TF_CONFIG names {len(chiefs)} chiefs; there is one")
    if not chiefs and not workers:
        raise DeepLabError("TF_CONFIG names no worker")
    task = config.get("task")
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        raise DeepLabError('TF_CONFIG has no "task": {"type": "worker", "index": ...}')
    own = {"chief": chiefs, "worker": workers}.get(task["type"])
    if not own:
        raise DeepLabError(
            f"TF_CONFIG: the task type is {task['type']!r}; choices: "
            f"{', '.join(name for name, job in (('chief', chiefs), ('worker', workers)) if job)}"
        )
    index = _index("TF_CONFIG: the task index", task["index"], len(own))
    return Cluster(chiefs + workers, index + (len(chiefs) if task["type"] == "worker" else 0))


def _addresses(job: str, listed: Any) -> tuple[str, ...]:
    if not isinstance(listed, list):
        raise DeepLabError(f'TF_CONFIG: job {job!r} must be a list of "host:port", not {listed!r}')
    return tuple(listed)


def _from_slurm(environment: Mapping[str, str]) -> Cluster | None:
    def read(*names: str) -> str:
        for name in names:
            if environment.get(name):
                return environment[name]
        raise DeepLabError(f"--cluster=slurm: {names[0]} is not set; start the workers with srun")

    index = _number("SLURM_PROCID", read("SLURM_PROCID"))
    count = _number("SLURM_NTASKS", read("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"))
    hosts = expand_hosts(read("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"))
    tasks = expand_counts(read("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"))
    if len(hosts) != len(tasks) or sum(tasks) != count:
        raise DeepLabError(
            f"--cluster=slurm: {count} tasks do not fit {len(hosts)} nodes with {tasks} tasks"
        )
    job = _number("SLURM_JOB_ID", read("SLURM_JOB_ID"))
    # Jobs that share a node must not share ports.
    default_port = _SLURM_FIRST_PORT + job * 16 % _SLURM_PORTS
    port = _number("DEEPLAB_PORT", environment.get("DEEPLAB_PORT", str(default_port)))
    places = [
        (node, local) for node, number in enumerate(tasks) for local in range(number)
    ]  # srun's block distribution
    _index("--cluster=slurm: SLURM_PROCID", index, count)
    said = environment.get("SLURM_NODEID"), environment.get("SLURM_LOCALID")
    if None not in said and said != tuple(map(str, places[index])):
        raise DeepLabError(
            f"--cluster=slurm: task {index} is number {said[1]} on node {said[0]}, and number "
            f"{places[index][1]} on node {places[index][0]} was expected; use srun "
            "--distribution=block"
        )
    return Cluster(tuple(f"{hosts[node]}:{port + local}" for node, local in places), index)


def expand_hosts(text: str) -> list[str]:
    """The names in a Slurm list of nodes: "gpu[1-3,07],login" -> gpu1, gpu2, gpu3, gpu07, login.

    Raises:
        DeepLabError: if the brackets do not match or a range is no range.
    """
    if not re.fullmatch(rf"{_HOST}(,{_HOST})*", text):
        raise DeepLabError(f"--cluster=slurm: bad list of nodes {text!r}")
    hosts = []
    for part in re.findall(_HOST, text):
        pieces = re.split(r"\[(.*?)\]", part)  # fixed text and the inside of brackets take turns
        names = [pieces[0]]
        for ranges, fixed in zip(pieces[1::2], pieces[2::2], strict=True):
            numbers = [number for piece in ranges.split(",") for number in _range(piece, text)]
            names = [name + number + fixed for name in names for number in numbers]
        hosts += names
    return hosts


def _range(piece: str, text: str) -> list[str]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", piece)
    first, last = (match.group(1), match.group(2) or match.group(1)) if match else ("1", "0")
    if int(first) > int(last):
        raise DeepLabError(f"--cluster=slurm: bad list of nodes {text!r}")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def expand_counts(text: str) -> list[int]:
    """The numbers in Slurm's short form: "2(x3),1" -> 2, 2, 2, 1.

    Raises:
        DeepLabError: if it has another form.
    """
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise DeepLabError(f"--cluster=slurm: bad list of tasks per node {text!r}")
        counts += [int(match.group(1))] * int(match.group(2) or 1)
    return counts


def _from_kubernetes(environment: Mapping[str, str]) -> Cluster | None:
    def read(name: str) -> str:
        value = environment.get(name)
        if not value:
            raise DeepLabError(f"--cluster=kubernetes: {name} is not set (docs/distribution.md)")
        return value

    index = _number("JOB_COMPLETION_INDEX", read("JOB_COMPLETION_INDEX"))
    count = _number("DEEPLAB_NUM_WORKERS", read("DEEPLAB_NUM_WORKERS"))
    template = read("DEEPLAB_WORKER_ADDRESS")
    if "{index}" not in template:
        raise DeepLabError(
            f"--cluster=kubernetes: DEEPLAB_WORKER_ADDRESS={template} has no {{index}} in it, "
            "such as train-{index}.train:2222"
        )
    if not re.search(r":\d+$", template):
        template = f"{template}:{_KUBERNETES_PORT}"
    _index("--cluster=kubernetes: JOB_COMPLETION_INDEX", index, count)
    return Cluster(tuple(template.replace("{index}", str(i)) for i in range(count)), index)


def split_address(address: Any, source: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[IPv6 address]:port".

    Raises:
        DeepLabError: if it is neither; the message begins with `source`.
    """
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d+)", str(address))
    if match is None or not 0 < int(match.group(2)) <= _LARGEST_PORT:
        raise DeepLabError(f"{source}: {address!r} is not an address of the form host:port")
    return match.group(1).strip("[]"), int(match.group(2))


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"\d+", text):
        raise DeepLabError(f"{name}={text} is not a whole number")
    return int(text)


def _index(what: str, value: Any, count: int) -> int:
    # Kubeflow and hand-written files quote the index.
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value)) or int(value) >= count:
        raise DeepLabError(f"{what} is {value!r}; there are {count} of them: 0..{count - 1}")
    return int(value)


CLUSTERS: dict[str, Callable[[Mapping[str, str]], Cluster | None]] = {
    "tf_config": _from_tf_config,
    "slurm": _from_slurm,
    "kubernetes": _from_kubernetes,
}
