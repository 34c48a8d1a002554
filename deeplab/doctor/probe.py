"""What TensorFlow says of itself and of the machine, in a process that may die of it.

Run as `python -m deeplab.doctor.probe`; prints one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

MODULES = ("tensorflow", "keras", "tensorflow_datasets")


def main() -> None:
    """Imports the libraries one after the other and prints what was found."""
    found: dict[str, Any] = {}
    for name in MODULES:
        try:
            importlib.import_module(name)
        # Versions that do not fit fail in any way.
        except Exception as error:
            found["failed"] = {"module": name, "error": f"{type(error).__name__}: {error}"}
            break
    if found.get("failed", {}).get("module") != "tensorflow":
        found |= _machine()
    print(json.dumps(found))


def _machine() -> dict[str, Any]:
    import tensorflow as tf

    threading = tf.config.threading
    return {
        "devices": [_device(device) for device in tf.config.list_physical_devices()],
        "threads": [
            threading.get_intra_op_parallelism_threads(),
            threading.get_inter_op_parallelism_threads(),
        ],
        "onednn": _has_onednn(),
    }


def _device(device: Any) -> str:
    import tensorflow as tf

    if device.device_type != "GPU":
        return device.device_type
    details = tf.config.experimental.get_device_details(device)
    return f"GPU {details.get('device_name', '')}".strip()


def _has_onednn() -> bool:
    """Whether a convolution on the CPU becomes one of oneDNN."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.device("/CPU:0"), tf.compat.v1.Session() as session:
        images = tf.compat.v1.placeholder(tf.float32, [1, 2, 2, 1])
        result = tf.nn.conv2d(images, tf.ones([1, 1, 1, 1]), 1, "SAME")
        ran = tf.compat.v1.RunMetadata()
        session.run(
            result,
            {images: [[[[0.0]] * 2] * 2]},
            options=tf.compat.v1.RunOptions(output_partition_graphs=True),
            run_metadata=ran,
        )
    return any("Mkl" in node.op for graph in ran.partition_graphs for node in graph.node)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
