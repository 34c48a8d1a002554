#!/usr/bin/env python3
"""From uint8 images to class ids: our exports, the same network elsewhere, and another library.

Every system is a process of its own, with all cores; they take turns, a call a round. What is timed
is the whole call. Weights are random. segmentation_models_pytorch (smp) has the same networks but
for details, and takes sizes that its stride divides: 512 instead of 513.

    python tools/benchmarks/inference.py --backbone=mobilenet_v2 --batch=1
    python tools/benchmarks/inference.py --backbone=resnet_50 --peers_python=peers/bin/python

`peers.py` says what the environment of the peers holds; without it they are left out.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peers

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_SIZE, _PEER_SIZE = 513, 512
_ENCODERS = {
    "mobilenet_v2": "mobilenet_v2",
    "xception_65": "tu-xception65",
    "resnet_50": "resnet50",
}
_THREADS = os.cpu_count() or 1

Run = Callable[[], np.ndarray]  # -> class ids [B, H, W]


def main() -> None:
    """Prints a row for each system."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--backbone", choices=list(_ENCODERS), default="mobilenet_v2")
    parser.add_argument("--batch", type=int, default=1, help="images")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peers_python", type=Path, help="of an environment with PyTorch")
    parser.add_argument("--systems", help="names, with commas; default: all")
    parser.add_argument("--work", nargs=2, metavar=("SYSTEM", "DIR"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        _work(*arguments.work, arguments.backbone, arguments.batch)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder, arguments.backbone)
        chosen = arguments.systems.split(",") if arguments.systems else [*OURS, *PEERS]
        commands = {}
        for system in chosen:
            python = arguments.peers_python if system in PEERS else sys.executable
            if python is not None:
                words = [__file__, f"--backbone={arguments.backbone}", f"--batch={arguments.batch}"]
                commands[system] = [python, *words, "--work", system, folder]
        found = peers.take_turns(commands, arguments.rounds)
        _print_table(found, folder, arguments.backbone, arguments.batch)


def _prepare(folder: Path, backbone: str) -> None:
    """The exports that our systems open."""
    import keras
    from PIL import Image
    from random_export import write_exports

    import deeplab

    images = folder / "images"
    images.mkdir()
    random = np.random.default_rng(1)
    for index in range(4):
        coarse = random.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(coarse).resize((_SIZE, _SIZE)).save(images / f"{index}.png")
    write_exports(folder, backbone, ["saved_model", "onnx"])
    write_exports(folder, backbone, ["litert", "litert_int8"], (_SIZE, _SIZE), images)
    model = deeplab.load_model(folder / "model")
    model.export(str(folder / "keras"), verbose=False)
    keras.backend.clear_session()


def _print_table(found: dict[str, peers.Measured], folder: Path, backbone: str, batch: int) -> None:
    import deeplab
    from deeplab.models import multiply_adds

    config = deeplab.ModelConfig(backbone, num_classes=21)
    macs = sum(multiply_adds(config, height=_SIZE, width=_SIZE).values())
    rate = peers.gemm_rate()
    packages = ("tensorflow", "onnxruntime", "openvino", "ai-edge-litert")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"{backbone}, batch {batch}, {macs / 1e9:.1f} G multiply-adds an image")
    print(f"{peers.processor()}; {versions}")
    print(f"float32 matrix products: {rate / 1e9:.0f} G multiply-adds/s, which would take ", end="")
    print(f"{1000 * macs * batch / rate:.0f} ms")
    print("\n| | median, ms | fastest, ms | of our SavedModel | pixels as there |")
    print("|---|---|---|---|---|")
    first = next(iter(found))
    reference = np.load(folder / f"{first}.npy")
    for name, measured in found.items():
        ratio = measured.median / found[first].median
        equal = "-"
        if name in OURS:
            equal = f"{np.mean(np.load(folder / f'{name}.npy') == reference):.2%}"
        print(
            f"| {name} | {1000 * measured.median:.0f} | {1000 * min(measured.seconds):.0f} | "
            f"{ratio:.2f} | {equal} |",
            flush=True,
        )


def _images(batch: int, size: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (batch, 17, 17, 3), np.uint8)
    return coarse.repeat(31, 1).repeat(31, 2)[:, :size, :size].copy()


def _work(system: str, folder: str, backbone: str, batch: int) -> None:
    """A worker: it prepares, keeps its first answer, and serves."""
    if system in PEERS:
        run = PEERS[system](_ENCODERS[backbone], _images(batch, _PEER_SIZE))
    else:
        run = OURS[system](Path(folder), _images(batch, _SIZE))
        np.save(Path(folder, f"{system}.npy"), run())
    peers.serve(run)


def _saved_model(folder: Path, images: np.ndarray) -> Run:
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "saved_model"))
    serve = model.signatures["serving_default"]
    return lambda: (model, serve(images=tf.constant(images))["classes"].numpy())[1]


def _keras_export(folder: Path, images: np.ndarray) -> Run:
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "keras"))

    def run() -> np.ndarray:
        logits = model.serve(tf.cast(tf.constant(images), tf.float32))
        return tf.argmax(logits, -1, tf.int32).numpy()

    return run


def _onnx_runtime(path: Path, feed: dict[str, np.ndarray], output: str) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return lambda: session.run([output], feed)[0]


def _openvino(path: Path, images: np.ndarray) -> Run:
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape({model.inputs[0]: images.shape})
    # Else it takes bfloat16 where the processor has it.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": _THREADS}
    compiled = core.compile_model(model, "CPU", settings)
    output = next(o for o in compiled.outputs if "classes" in o.names)
    return lambda: compiled([images])[output]


def _litert(name: str, folder: Path, images: np.ndarray) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    path = folder / f"{name}_fixed" / "model.tflite"
    interpreter = Interpreter(model_path=str(path), num_threads=_THREADS)
    runner = interpreter.get_signature_runner("serving_default")
    return lambda: np.concatenate([runner(images=image[None])["classes"] for image in images])


# The first is what the others are compared with.
OURS: dict[str, Callable[[Path, np.ndarray], Run]] = {
    "SavedModel": _saved_model,
    "`model.export` of Keras": _keras_export,
    "ONNX Runtime": lambda folder, images: _onnx_runtime(
        folder / "onnx/model.onnx", {"images": images}, "classes"
    ),
    "OpenVINO": lambda folder, images: _openvino(folder / "onnx/model.onnx", images),
    "LiteRT": functools.partial(_litert, "litert"),
    "LiteRT int8": functools.partial(_litert, "litert_int8"),
}


def _smp(encoder: str):
    """A network of segmentation_models_pytorch from uint8 [B, H, W, 3] to class ids."""
    import segmentation_models_pytorch as smp
    import torch

    torch.set_num_threads(_THREADS)
    torch.manual_seed(0)

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = smp.DeepLabV3Plus(
                encoder, encoder_weights=None, classes=21, encoder_output_stride=16
            )

        def forward(self, images):
            x = images.permute(0, 3, 1, 2).float() / 127.5 - 1.0
            return self.network(x).argmax(1).int()

    return Whole().eval()


def _torch(encoder: str, images: np.ndarray, *, channels_last: bool) -> Run:
    import torch

    network = _smp(encoder)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    given = torch.from_numpy(images)

    def run() -> np.ndarray:
        with torch.inference_mode():
            return network(given).numpy()

    return run


def _smp_onnx(images: np.ndarray, encoder: str) -> Path:
    import torch

    path = Path(tempfile.mkdtemp()) / "model.onnx"
    torch.onnx.export(
        _smp(encoder),
        (torch.from_numpy(images),),
        path,
        input_names=["images"],
        output_names=["classes"],
        dynamo=False,
        opset_version=17,
    )
    return path


PEERS: dict[str, Callable[[str, np.ndarray], Run]] = {
    "smp": functools.partial(_torch, channels_last=False),
    "smp channels_last": functools.partial(_torch, channels_last=True),
    "smp in ONNX Runtime": lambda encoder, images: _onnx_runtime(
        _smp_onnx(images, encoder), {"images": images}, "classes"
    ),
    "smp in OpenVINO": lambda encoder, images: _openvino(_smp_onnx(images, encoder), images),
}


if __name__ == "__main__":
    main()
