"""How training is spread over devices."""

from __future__ import annotations

import json
import os

import tensorflow as tf

from deeplab.errors import DeepLabError, unknown_name

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


def make_strategy(name: str) -> tuple[tf.distribute.Strategy, str]:
    """The strategy of a name, and a line that says what was chosen.

    Args:
        name: "one_device": the GPU if there is one, else the CPU; "mirrored": all GPUs of the
            machine; "tpu": all cores of the TPU; "auto": the first that fits of tpu, mirrored (with
            more than one GPU) and one_device.

    Raises:
        DeepLabError: for an unknown name, or one that this machine has no devices for.
    """
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES)
    if name == "multi_worker" or (name == "auto" and _num_workers() > 1):
        raise DeepLabError(
            "training on several workers is not there yet; one machine trains with "
            "one_device, mirrored or tpu"
        )
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
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    kind = "GPU" if gpus else "CPU"
    return strategy, f"strategy: mirrored ({len(devices)} {kind} replicas)"


def _num_workers() -> int:
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    except ValueError as error:
        raise DeepLabError(f"TF_CONFIG is not JSON: {error}") from error
    return len(cluster.get("worker", [])) + len(cluster.get("chief", []))


def _has_tpu() -> bool:
    return bool(os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"))


def _tpu() -> tuple[tf.distribute.Strategy, str]:
    if not _has_tpu():
        raise DeepLabError("strategy 'tpu' needs a TPU and this machine has none; use one_device")
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    strategy = tf.distribute.TPUStrategy(resolver)
    return strategy, f"strategy: tpu ({strategy.num_replicas_in_sync} cores)"
