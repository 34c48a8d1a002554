#!/usr/bin/env python3
"""Time and memory of a training step, beside Keras on the same network and another library.

Every system is a process of its own, with all cores; they take turns, a step a round. All get a
batch from memory, so that no input pipeline is measured, and SGD with momentum. Ours also computes
the weight decay of the original, the loss over the valid pixels of the global batch and the norm of
the gradient. Keras makes the step of `fit` (`train_on_batch`); it and segmentation_models_pytorch
(smp) have a mean cross entropy that knows an ignored class. Memory is what a process grows by from
before there is a network.

    python tools/benchmarks/training_step.py --backbone=mobilenet_v2 --crop_size=320 --batch=8
    python tools/benchmarks/training_step.py --peers_python=peers/bin/python
    python tools/benchmarks/training_step.py --profile

`peers.py` says what the environment of the peers holds; without it they are left out. `--profile`
lists the operations of our step that take longest instead.
"""

from __future__ import annotations

import argparse
import collections
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peers
from process_memory import resident

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_CLASSES, _IGNORE, _RATE = 21, 255, 0.007
_ENCODERS = {
    "mobilenet_v2": "mobilenet_v2",
    "resnet_50": "resnet50",
    "xception_65": "tu-xception65",
}
_PROFILED_STEPS = 3

Step = Callable[[], float]  # -> the loss


def main() -> None:
    """Prints a row for each system."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--backbone", choices=list(_ENCODERS), default="mobilenet_v2")
    parser.add_argument("--crop_size", type=int, default=320, help="pixels")
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers_python", type=Path, help="of an environment with PyTorch")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    backbone, size, batch = arguments.backbone, arguments.crop_size, arguments.batch
    if arguments.work:
        _work(arguments.work, backbone, size, batch)
        return
    if arguments.profile:
        _profile(backbone, size, batch)
        return
    commands = {}
    for system in SYSTEMS:
        python = arguments.peers_python if system.startswith("smp") else sys.executable
        if python is not None:
            words = [f"--backbone={backbone}", f"--crop_size={size}", f"--batch={batch}"]
            commands[system] = [python, __file__, *words, f"--work={system}"]
    found = peers.take_turns(commands, arguments.rounds)
    print(f"{backbone}, {batch} crops of {size}; {peers.processor()}")
    print("\n| | median, s | fastest, s | ours over it | grows by, GB |")
    print("|---|---|---|---|---|")
    ours = found["deeplab"]
    for name, measured in found.items():
        ratio = statistics.median(
            a / b for a, b in zip(ours.seconds, measured.seconds, strict=True)
        )
        print(
            f"| {name} | {measured.median:.2f} | {min(measured.seconds):.2f} | {ratio:.2f} | "
            f"{measured.growth / 1e9:.2f} |"
        )


def _work(system: str, backbone: str, size: int, batch: int) -> None:
    """A worker."""
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (batch, size, size, 3)).astype(np.float32)
    labels = random.integers(0, _CLASSES, (batch, size, size), np.int32)
    labels[:, :8] = _IGNORE
    make, package = SYSTEMS[system]
    __import__(package)
    before = resident("VmRSS")
    peers.serve(make(backbone, images, labels), before)


def _deeplab(backbone: str, images: np.ndarray, labels: np.ndarray) -> Step:
    import tensorflow as tf

    import deeplab
    from deeplab.training.learner import make_learner

    network = deeplab.ModelConfig(backbone, num_classes=_CLASSES)
    config = deeplab.TrainConfig(
        network,
        deeplab.DataConfig("shapes", crop_size=images.shape[1]),
        deeplab.OptimizerConfig("sgd", _RATE),
    )
    step = make_learner(config, network, tf.distribute.get_strategy()).train_step(_IGNORE)
    batch = {"image": tf.constant(images), "label": tf.constant(labels)}
    return lambda: float(step(batch).loss)


def _keras(backbone: str, images: np.ndarray, labels: np.ndarray) -> Step:
    import keras

    import deeplab

    model = deeplab.deeplab_v3_plus(backbone, num_classes=_CLASSES)
    model.compile(
        optimizer=keras.optimizers.SGD(_RATE, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=_IGNORE),
        jit_compile=False,  # on a CPU it is many times slower for these convolutions
    )
    return lambda: float(model.train_on_batch(images, labels))


def _smp(
    backbone: str, images: np.ndarray, labels: np.ndarray, *, channels_last: bool = False
) -> Step:
    import segmentation_models_pytorch as smp
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    network = smp.DeepLabV3Plus(_ENCODERS[backbone], encoder_weights=None, classes=_CLASSES)
    given = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1.0
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        given = given.contiguous(memory_format=torch.channels_last)
    else:
        given = given.contiguous()
    wanted = torch.from_numpy(labels).long()
    optimizer = torch.optim.SGD(network.parameters(), _RATE, momentum=0.9, weight_decay=4e-5)
    loss_of = torch.nn.CrossEntropyLoss(ignore_index=_IGNORE)
    network.train()

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(network(given), wanted)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _smp_channels_last(backbone: str, images: np.ndarray, labels: np.ndarray) -> Step:
    return _smp(backbone, images, labels, channels_last=True)


# What makes a step, and the package that is imported before memory counts.
SYSTEMS: dict[str, tuple[Callable[[str, np.ndarray, np.ndarray], Step], str]] = {
    "deeplab": (_deeplab, "tensorflow"),
    "Keras": (_keras, "tensorflow"),
    "smp": (_smp, "torch"),
    "smp channels_last": (_smp_channels_last, "torch"),
}


def _profile(backbone: str, size: int, batch: int) -> None:
    """Prints the ten kinds of operations of our step that take longest, summed over threads."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    import deeplab
    from deeplab.models import multiply_adds

    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (batch, size, size, 3)).astype(np.float32)
    step = _deeplab(backbone, images, random.integers(0, _CLASSES, images.shape[:3], np.int32))
    step()
    step()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(_PROFILED_STEPS):
            step()
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    spent: collections.Counter[str] = collections.Counter()
    number: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # Executed operations are named NODE:KIND.
                node, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if node and not node.endswith(":") and kind.isidentifier():
                    spent[kind] += event.duration_ps / 1e12 / _PROFILED_STEPS
                    number[kind] += 1
    total = sum(spent.values())
    network = deeplab.ModelConfig(backbone, num_classes=_CLASSES)
    macs = 3 * batch * sum(multiply_adds(network, height=size, width=size).values())
    limit = macs / peers.gemm_rate()
    print(f"{backbone}, {batch} crops of {size}, {peers.processor()}")
    print(f"{macs / 1e9:.0f} G multiply-adds, both ways; as matrix products {1000 * limit:.0f} ms")
    print("\n| operation | number | ms | share |\n|---|---|---|---|")
    for kind, seconds in spent.most_common(10):
        count = number[kind] // _PROFILED_STEPS
        print(f"| {kind} | {count} | {1000 * seconds:.0f} | {seconds / total:.0%} |")


if __name__ == "__main__":
    main()
