"""LiteRT (.tflite) files: builtin operations only, for images of one size or of any."""

from __future__ import annotations

import collections
import functools
import json
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from deeplab import files
from deeplab.data import DataConfig
from deeplab.errors import DeepLabError
from deeplab.export import accuracy, record
from deeplab.export.dilation import with_dilated_convolutions
from deeplab.export.freeze import as_function, frozen_graph
from deeplab.export.graph import needed, node_name
from deeplab.export.images import calibration_images, fitted
from deeplab.export.metadata import metadata
from deeplab.export.source import ANY_SIZE, Source
from deeplab.export.verify import (
    EXACT,
    FLOAT16,
    INT8,
    INT8_WEIGHTS,
    Tolerance,
    Verification,
    verify_runtime,
)
from deeplab.extras import needs_extra
from deeplab.models import (
    DeepLabModel,
    FoldedFunction,
    InferenceNetwork,
    ModelConfig,
    with_fixed_ranges,
)
from deeplab.runtimes.metadata import NAME
from deeplab.runtimes.runtime import open_runtime
from deeplab.stderr import stderr_held_back

FILE = "model.tflite"
LABELS = "labels.txt"
CONTENTS = (FILE, LABELS, record.FILE)

_DEFAULT_SIZE = (513, 513)
# Where the interpreter expects the numbers of a tensor to begin.
_ALIGNMENT = 16
_IDENTIFIER = b"TFL3"


class Variant(NamedTuple):
    """How the numbers of a network are stored.

    Attributes:
        types: what the converter may store weights as; None: as they are.
        tolerance: how far the file may be from the model.
        is_calibrated: whether features are integers too, of ranges that are measured on images.
    """

    types: tuple[tf.DType, ...] | None
    tolerance: Tolerance
    is_calibrated: bool = False


# Format -> its numbers. An empty tuple leaves the choice to the converter: weights of 8 bits, a
# scale per channel; features that are not calibrated are rounded while the network runs.
VARIANTS = {
    "litert": Variant(None, EXACT),
    "litert_float16": Variant((tf.float16,), FLOAT16),
    "litert_dynamic": Variant((), INT8_WEIGHTS),
    "litert_int8": Variant((), INT8, is_calibrated=True),
}


def check(config: ModelConfig) -> None:
    """Makes sure that the packages are there.

    Raises:
        DeepLabError: if one is missing.
    """
    _schema()


def write(source: Source, folder: Path, *, format: str) -> Verification:
    """Writes model.tflite and labels.txt into an empty folder, and compares with the model.

    Raises:
        DeepLabError: if they differ, or a part of the network has no form in LiteRT.
    """
    variant, size = VARIANTS[format], _size(source)
    stated = metadata(source)
    stated["preprocessing"]["size"] = "any" if size == ANY_SIZE else list(size)
    origin, images = None, None
    quantization = source.model.model_config.quantization
    if variant.is_calibrated and quantization is not None:
        origin = f"training, {quantization.observe_steps} steps"
    elif variant.is_calibrated:
        origin, images = calibration_images(source.description, source.calibration_images)
        height, width = size
        if height is not None and width is not None:
            pad_value = source.description.pad_value
            images = [fitted(image, (height, width), pad_value) for image in images]
    content = _converted(source.model, size, variant, images)
    content, operations = _with_metadata(content, json.dumps(stated))
    path = folder / FILE
    files.write_bytes(path, content)
    files.write_text(folder / LABELS, "\n".join(stated["classes"]) + "\n")
    runtime = open_runtime("litert", path)
    verification = verify_runtime(source, runtime, variant.tolerance)
    if variant.is_calibrated:
        verification = verification._replace(accuracy=accuracy.measure(source, runtime))
    shape = ",".join("any" if side is None else str(side) for side in size)
    record.write(
        folder,
        verification,
        format=format,
        file=FILE,
        inputs={"images": f"uint8 [{'any' if size == ANY_SIZE else 1},{shape},C]"},
        outputs={"serving_default": "classes int32 [B,H,W]", "logits": "logits float32 [B,H,W,C]"},
        calibrated_on=origin,
        operations=operations,
        metadata=stated,
    )
    return verification


def _size(source: Source) -> tuple[int | None, int | None]:
    """The size asked for, else that of the training images, else that of the original's crops."""
    training = source.description.training
    if source.size is not None:
        return source.size
    return _DEFAULT_SIZE if training is None else DataConfig(**training["data"]).crop_height_width


def _converted(
    model: DeepLabModel,
    size: tuple[int | None, int | None],
    variant: Variant,
    calibration: Sequence[np.ndarray] | None,
) -> bytes:
    function = InferenceNetwork(model).full_logits
    if model.model_config.quantization is not None:
        fixed = with_fixed_ranges(model)
        function = FoldedFunction(fixed.input, fixed.output)
    batch = None if size == ANY_SIZE else 1
    images = tf.TensorSpec([batch, *size, model.input_channels], tf.float32, name="images")
    pixels = tf.TensorSpec(images.shape, tf.uint8, name="images")
    frozen = frozen_graph(function, images)
    dilated = with_dilated_convolutions(frozen.graph, explicit_pads=False)
    ends = map(node_name, (frozen.input, *frozen.outputs))
    module = tf.Module()
    module.core = as_function(frozen._replace(graph=needed(dilated, ends)), images)

    def logits(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": module.core(tf.cast(images, tf.float32))}

    def classes(images: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = tf.argmax(logits(images)["logits"], axis=-1, output_type=tf.int32)
        return {"classes": ids}

    signatures = {
        "serving_default": tf.function(classes, input_signature=[pixels]),
        "logits": tf.function(logits, input_signature=[pixels]),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        stderr_held_back(shown_after_error=False),
        warnings.catch_warnings(),
    ):
        # Calibration uses an interpreter of TensorFlow that is on its way out.
        warnings.simplefilter("ignore")
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[*signatures])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if variant.types is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = list(variant.types)
        if calibration is not None:
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = lambda: (
                (name, {"images": image.astype(np.uint8)})
                for name in signatures
                for image in calibration
            )
        try:
            return converter.convert()
        except Exception as error:  # its errors have no common class
            operations = sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))
            advice = "; --fixed_size may do" if size == ANY_SIZE else ""
            raise DeepLabError(
                f"LiteRT has no {', '.join(operations) or 'form'} as this network needs it{advice}"
            ) from error


def _with_metadata(content: bytes, text: str) -> tuple[bytes, Mapping[str, int]]:
    """The file with a text under our name, and the number of each kind of operation in it."""
    schema = _schema()
    import flatbuffers

    class Aligned(schema.BufferT):  # type: ignore[name-defined]
        """A buffer whose numbers begin where the interpreter expects them."""

        def Pack(self, builder: Any) -> Any:
            if self.data is not None:
                builder.Prep(_ALIGNMENT, len(self.data))
            return super().Pack(builder)

    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    model.buffers = [Aligned(buffer.data) for buffer in model.buffers]
    model.buffers.append(Aligned(list(text.encode("utf-8"))))
    model.metadata = [*(model.metadata or []), schema.MetadataT(NAME, len(model.buffers) - 1)]
    builder = flatbuffers.Builder(len(content) + len(text))
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    names = {
        number: name for name, number in vars(schema.BuiltinOperator).items() if name[0] != "_"
    }
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    operations = collections.Counter(
        names[codes[operator.opcodeIndex]] for operator in model.subgraphs[0].operators
    )
    return bytes(builder.Output()), dict(sorted(operations.items()))


@functools.cache
def _schema() -> Any:
    with needs_extra("litert", "export --format=litert"):
        from ai_edge_litert import schema_py_generated
    return schema_py_generated
