"""LiteRT files made for tests: converted from small networks, or rewritten by operator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from deeplab.interop.litert.file import schema
from deeplab.models import variables_by_path


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Gives every variable a random value that keeps the features in range."""
    generator = np.random.default_rng(seed)
    for path, variable in variables_by_path(model).items():
        value = generator.normal(size=variable.shape)
        if path.endswith("moving_variance"):
            value = np.abs(value) + 0.5
        elif path.endswith("gamma"):
            value = 1 + 0.1 * value
        elif path.endswith("kernel"):
            inputs = variable.shape[:2] if "depthwise" in path else variable.shape[:3]
            value *= np.sqrt(2 / np.prod(inputs))
        variable.assign(value)


def convert(model: keras.Model, *, size: int, float16: bool = False, int8: bool = False) -> bytes:
    """The .tflite file of a network for images of one size, normalization included."""
    signature = [tf.TensorSpec((1, size, size, 3), tf.float32)]
    function = tf.function(lambda images: model(images, training=False), input_signature=signature)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if float16 or int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if float16:
        converter.target_spec.supported_types = [tf.float16]
    if int8:
        converter.representative_dataset = lambda: _random_images(size)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with warnings.catch_warnings():
        # That images have no statistics, which matters to files that take 8-bit images alone.
        warnings.simplefilter("ignore")
        return converter.convert()


def _random_images(size: int) -> Iterator[list[np.ndarray]]:
    generator = np.random.default_rng(0)
    for _ in range(2):
        yield [generator.uniform(0, 255, (1, size, size, 3)).astype(np.float32)]


def rewritten(content: bytes, change: Callable[[schema.ModelT], None]) -> bytes:
    """The file after a change of its object form."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    change(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operator_kind(model: schema.ModelT, operator: schema.OperatorT) -> int:
    """The number of the operator in the schema."""
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def dilation_by_space_to_batch(model: schema.ModelT) -> None:
    """Writes every dilated convolution as older converters did, with operators around it."""
    graph, operators = model.subgraphs[0], []
    for operator in model.subgraphs[0].operators:
        options = operator.builtinOptions
        rate = getattr(options, "dilationHFactor", 1)
        if rate == 1:
            operators.append(operator)
            continue
        source, target = operator.inputs[0], operator.outputs[0]
        _, height, width, channels = graph.tensors[source].shape
        reach = rate * (graph.tensors[operator.inputs[1]].shape[1] - 1)
        before, crops = reach // 2, [-(size + reach) % rate for size in (height, width)]
        blocks = [
            (size + reach + crop) // rate for size, crop in zip((height, width), crops, strict=True)
        ]
        pads = [[before, reach - before + crop] for crop in crops]
        shape = [rate * rate, *blocks, channels]
        inside = [rate * rate, *(size - 2 for size in blocks), channels]
        block = _constant(model, [rate, rate])
        apart, joined = _tensor(model, shape), _tensor(model, inside)
        operators.append(
            _operator(model, "SPACE_TO_BATCH_ND", [source, block, _constant(model, pads)], apart)
        )
        operator.inputs, operator.outputs = [apart, *operator.inputs[1:]], [joined]
        options.dilationHFactor = options.dilationWFactor = 1
        options.padding = schema.Padding.VALID
        operators.append(operator)
        crop = _constant(model, [[0, size] for size in crops])
        operators.append(_operator(model, "BATCH_TO_SPACE_ND", [joined, block, crop], target))
    graph.operators = operators


def padding_by_operator(model: schema.ModelT) -> None:
    """Writes the padding of every strided convolution as an operator of its own."""
    graph, operators = model.subgraphs[0], []
    for operator in model.subgraphs[0].operators:
        options = operator.builtinOptions
        if getattr(options, "strideH", 1) == 2:
            source, kernel = operator.inputs[0], graph.tensors[operator.inputs[1]].shape[1]
            batch, *sizes, channels = graph.tensors[source].shape
            total = [max((-(-size // 2) - 1) * 2 + kernel - size, 0) for size in sizes]
            pads = [[0, 0], *([t // 2, t - t // 2] for t in total), [0, 0]]
            padded = [batch, *(size + t for size, t in zip(sizes, total, strict=True)), channels]
            target = _tensor(model, padded)
            operators.append(_operator(model, "PAD", [source, _constant(model, pads)], target))
            operator.inputs = [target, *operator.inputs[1:]]
            options.padding = schema.Padding.VALID
        operators.append(operator)
    graph.operators = operators


def activation_by_operator(model: schema.ModelT) -> None:
    """Writes every ReLU6 of a convolution as an operator of its own."""
    graph, operators = model.subgraphs[0], []
    for operator in model.subgraphs[0].operators:
        operators.append(operator)
        options = operator.builtinOptions
        if getattr(options, "fusedActivationFunction", 0) == schema.ActivationFunctionType.RELU6:
            options.fusedActivationFunction = schema.ActivationFunctionType.NONE
            target = operator.outputs[0]
            linear = _tensor(model, graph.tensors[target].shape)
            operator.outputs = [linear]
            operators.append(_operator(model, "RELU6", [linear], target))
    graph.operators = operators


def bias_by_operator(model: schema.ModelT) -> None:
    """Writes the bias of every linear convolution as an addition."""
    graph, operators = model.subgraphs[0], []
    convolutions = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    for operator in model.subgraphs[0].operators:
        operators.append(operator)
        if operator_kind(model, operator) not in convolutions:
            continue
        if operator.builtinOptions.fusedActivationFunction == 0:
            bias, target = operator.inputs[2], operator.outputs[0]
            linear = _tensor(model, graph.tensors[target].shape)
            operator.inputs, operator.outputs = operator.inputs[:2], [linear]
            operators.append(_operator(model, "ADD", [bias, linear], target))
    graph.operators = operators


def _operator(model: schema.ModelT, kind: str, inputs: list[int], output: int) -> schema.OperatorT:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = list(inputs), [output]
    return operator


def _tensor(model: schema.ModelT, shape: list[int], buffer: int = 0, kind: int = 0) -> int:
    tensor = schema.TensorT()
    tensor.shape, tensor.buffer, tensor.type, tensor.name = list(shape), buffer, kind, b"added"
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _constant(model: schema.ModelT, values: list) -> int:
    array = np.asarray(values, np.int32)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(array.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return _tensor(model, list(array.shape), len(model.buffers) - 1, schema.TensorType.INT32)


def write(folder: Path, content: bytes) -> Path:
    """A file of the content."""
    path = folder / "network.tflite"
    path.write_bytes(content)
    return path
