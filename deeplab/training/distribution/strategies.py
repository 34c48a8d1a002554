"""How training is spread over devices and machines."""

from __future__ import annotations

import functools
import os

import tensorflow as tf

from deeplab.errors import DeepLabError, unknown_name
from deeplab.training.distribution.cluster import Cluster

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


def check_strategy(name: str, cluster: Cluster | None) -> None:
    """Refuses, before any device is touched, a strategy that does not fit the workers.

    Raises:
        DeepLabError: for an unknown name, several workers without a cluster, or the reverse.
    """
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES)
    if name == "multi_worker" and cluster is None:
        raise DeepLabError(
            "strategy 'multi_worker' needs a cluster of more than one worker: TF_CONFIG, or "
            "--cluster=slurm or kubernetes"
        )
    if cluster is not None and name not in ("auto", "multi_worker"):
        raise DeepLabError(
            f"strategy {name!r} trains in one process, but the cluster has "
            f"{len(cluster.workers)} workers; use multi_worker or unset TF_CONFIG"
        )


def make_strategy(name: str, cluster: Cluster | None = None) -> tuple[tf.distribute.Strategy, str]:
    """The strategy of a name, and a line that says what was chosen.

    Args:
        name: "one_device": the GPU if there is one, else the CPU; "mirrored": all GPUs of the
            machine; "multi_worker": all GPUs, or else the CPU, of all workers of the cluster;
            "tpu": all cores of the TPU; "auto": the first that fits of multi_worker (with a
            cluster), tpu, mirrored (with more than one GPU) and one_device.
        cluster: the workers, if there are several; the others must do the same at the same time.
            No operation of TensorFlow may have run in the process before.

    Raises:
        DeepLabError: for an unknown name, or one that this machine has no devices for.
    """
    check_strategy(name, cluster)
    if cluster is not None:
        return _multi_worker(cluster)
    gpus = tf.config.list_logical_devices("GPU")
    cpus = tf.config.list_logical_devices("CPU")
    if name == "auto":
        name = "tpu" if _has_tpu() else "mirrored" if len(gpus) > 1 else "one_device"
    if name == "tpu":
        return _tpu()
    if name == "one_device":
        device, kind = (gpus[0], "GPU") if gpus else (cpus[0], "CPU")
        return tf.distribute.OneDeviceStrategy(device.name), f"strategy: one_device ({kind})"
    # Several logical CPUs are made on purpose only, to try out replicas without accelerators.
    devices = gpus or (cpus if len(cpus) > 1 else [])
    if not devices:
        raise DeepLabError(
            "strategy 'mirrored' needs GPUs and this machine has none; use one_device"
        )
    strategy = _mirrored(tuple(device.name for device in devices))
    kind = "GPU" if gpus else "CPU"
    return strategy, f"strategy: mirrored ({len(devices)} {kind} replicas)"


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # One for the whole process: a second one numbers its collective operations from the same start
    # and collides with the first ("Shape mismatch in the collective instance").
    return tf.distribute.MirroredStrategy(devices)


def _multi_worker(cluster: Cluster) -> tuple[tf.distribute.Strategy, str]:
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except (RuntimeError, tf.errors.OpError) as error:
        text = " ".join(str(error).split())
        raise DeepLabError(f"TensorFlow cannot connect the workers: {text[:300]}") from error
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    replicas = strategy.num_replicas_in_sync
    line = f"strategy: multi_worker ({len(cluster.workers)} workers, {replicas} {kind} replicas)"
    return strategy, line


def _has_tpu() -> bool:
    return bool(os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"))


def _tpu() -> tuple[tf.distribute.Strategy, str]:
    if not _has_tpu():
        raise DeepLabError("strategy 'tpu' needs a TPU and this machine has none; use one_device")
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(
        os.environ.get("TPU_NAME", "local")
    )
    strategy = tf.distribute.TPUStrategy(resolver)
    return strategy, f"strategy: tpu ({strategy.num_replicas_in_sync} cores)"
