"""ONNX file: any number and size of images, for ONNX Runtime and whatever else reads the format."""

from __future__ import annotations

import collections
import json
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf

from deeplab import files
from deeplab.errors import DeepLabError
from deeplab.export import record
from deeplab.export.dilation import with_dilated_convolutions
from deeplab.export.freeze import FrozenGraph, frozen_graph
from deeplab.export.graph import needed, node_name
from deeplab.export.metadata import metadata
from deeplab.export.source import Source
from deeplab.export.verify import Verification, verify_runtime
from deeplab.extras import needs_extra
from deeplab.models import DeepLabModel, InferenceNetwork, ModelConfig
from deeplab.runtimes.metadata import NAME
from deeplab.runtimes.runtime import open_runtime

FILE = "model.onnx"
CONTENTS = (FILE, record.FILE)

# The newest that tf2onnx writes; ONNX Runtime 1.14 (2023) and everything later reads it.
OPSET = 18
_AXES = ("N", "H", "W")


def check(config: ModelConfig) -> None:
    """Makes sure that the packages are there.

    Raises:
        DeepLabError: if one is missing.
    """
    _converter()


def write(source: Source, folder: Path) -> Verification:
    """Writes model.onnx into an empty folder and compares it with the model.

    Raises:
        DeepLabError: if they differ, or a part of the network has no form in ONNX.
    """
    model = _converted(_graph(source.model))
    stated = metadata(source)
    model.metadata_props.add(key=NAME, value=json.dumps(stated))
    _name_axes(model)
    path = folder / FILE
    files.write_bytes(path, model.SerializeToString())
    verification = verify_runtime(source, open_runtime("onnx", path))
    operations = collections.Counter(node.op_type for node in model.graph.node)
    record.write(
        folder,
        verification,
        format="onnx",
        file=FILE,
        opset=OPSET,
        inputs={"images": "uint8 [N,H,W,C]"},
        outputs={"classes": "int32 [N,H,W]", "logits": "float32 [N,H,W,C]"},
        operations=dict(sorted(operations.items())),
        metadata=stated,
    )
    return verification


def _converter() -> Any:
    with needs_extra("onnx", "export --format=onnx"):
        import onnxruntime  # noqa: F401
        import tf2onnx
    return tf2onnx


def _graph(model: DeepLabModel) -> FrozenGraph:
    """images uint8 [N,H,W,channels] -> classes and logits, with atrous convolutions as such."""

    network = InferenceNetwork(model)

    def outputs(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = network.full_logits(tf.cast(images, tf.float32))
        return {
            "classes": tf.argmax(logits, axis=-1, output_type=tf.int32),
            "logits": logits,
        }

    signature = tf.TensorSpec([None, None, None, model.input_channels], tf.uint8, name="images")
    frozen = frozen_graph(outputs, signature)
    # ONNX Runtime refuses dilation together with padding that follows from the size.
    dilated = with_dilated_convolutions(frozen.graph, explicit_pads=True)
    ends = map(node_name, (frozen.input, *frozen.outputs))
    return frozen._replace(graph=needed(dilated, ends))


def _converted(frozen: FrozenGraph) -> Any:
    """The ModelProto of a graph."""
    tf2onnx = _converter()
    # It warns of what it replaces, which the comparison with the model judges.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    classes, logits = frozen.outputs
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.graph, name="")
        converted = tf2onnx.tfonnx.process_tf_graph(
            graph,
            opset=OPSET,
            input_names=[frozen.input],
            output_names=list(frozen.outputs),
            tensors_to_rename={frozen.input: "images", classes: "classes", logits: "logits"},
        )
        passes = {optimizer.__name__: optimizer for optimizer in _passes(tf2onnx.optimizer)}
        model = tf2onnx.optimizer.optimize_graph(
            converted, catch_errors=False, optimizers=passes
        ).make_model("deeplab")
    foreign = {node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    if foreign:
        raise DeepLabError(f"ONNX has no operation for {', '.join(sorted(foreign))}")
    return model


def _passes(optimizers: ModuleType) -> tuple[Any, ...]:
    """Those of tf2onnx's passes over a graph that find something in these networks.

    Each holds on to a copy of all weights: Xception-65 takes 4.7 GB with these and 9.5 GB with all.
    """
    return (
        optimizers.TransposeOptimizer,
        optimizers.ConstFoldOptimizer,
        optimizers.MergeDuplicatedNodesOptimizer,
        optimizers.IdentityOptimizer,
        optimizers.BackToBackOptimizer,
    )


def _name_axes(model: Any) -> None:
    """Gives the free axes of inputs and outputs their names."""
    for value in (*model.graph.input, *model.graph.output):
        for name, axis in zip(_AXES, value.type.tensor_type.shape.dim, strict=False):
            axis.dim_param = name
