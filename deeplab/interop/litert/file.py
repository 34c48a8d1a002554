"""Reads a LiteRT (.tflite) file into plain tensors and operators.

The public interpreter runs such a file but does not tell the options of its operators (strides,
dilations, padding), so the flatbuffer itself is read, with the schema that TensorFlow carries. That
is private to TensorFlow: nothing else imports it. The package tflite has it in public, but without
the form of plain objects, and releases behind.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from deeplab.errors import DeepLabError

_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every file
# Types of numbers that are read; NumPy has the same names in lower case.
_NUMBERS = ("FLOAT16", "FLOAT32", "INT16", "INT32", "INT64", "INT8", "UINT8")
# What reading at a wrong offset can end in.
_DAMAGE = (AttributeError, LookupError, MemoryError, OverflowError, TypeError, ValueError)


class Tensor(NamedTuple):
    """A tensor of the file.

    Attributes:
        name: as in the file; nothing may depend on it.
        type: "FLOAT32", "UINT8" and so on.
        shape: all sizes, with the batch.
        data: the stored numbers of a constant; None for what operators compute, and for constants
            of a type that is not read here.
        scale: real value of one step, one number or one per channel; empty without quantization.
        zero_point: stored number that means 0, as many as `scale`.
        axis: the axis of the channels, where there is a scale a channel.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    data: np.ndarray | None
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int

    @property
    def is_real(self) -> bool:
        """Whether the stored numbers are the values themselves."""
        return self.type.startswith("FLOAT")

    def dequantized(self, scale: np.ndarray | None = None) -> np.ndarray | None:
        """Real values of a constant, float32: (stored - zero point) * scale.

        Args:
            scale: of a tensor that states none, such as some biases.

        Returns:
            None if there are no numbers, or integers without a scale.
        """
        if self.data is None or self.is_real:
            return None if self.data is None else self.data.astype(np.float32)
        scale = self.scale if self.scale.size else scale
        if scale is None or not scale.size:
            return None
        zero_point = self.zero_point if self.zero_point.size else np.zeros(1)
        along = [1] * len(self.shape)
        if max(scale.size, zero_point.size) > 1:
            along[self.axis] = -1
        steps = self.data.astype(np.float64) - zero_point.reshape(along)
        return (steps * scale.reshape(along)).astype(np.float32)


class Operator(NamedTuple):
    """An operator of the file.

    Attributes:
        position: its number in the file, from 0, for messages.
        kind: name in the schema, such as "CONV_2D".
        inputs: numbers of tensors; an optional input that is not given is left out at the end.
        outputs: numbers of tensors.
        options: the options of the schema, such as "strideW".
    """

    position: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        """For messages."""
        return f"operator {self.position} ({self.kind})"


class LitertFile(NamedTuple):
    """The one graph of a file, operators in the order in which they run."""

    path: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_litert_file(path: str | Path) -> LitertFile:
    """Reads a .tflite file.

    Raises:
        DeepLabError: if there is no such file, it is no .tflite file, or it is damaged.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DeepLabError(f"{path} cannot be read: {error.strerror}") from error
    if content[4:8] != _IDENTIFIER:
        raise DeepLabError(f"{path} is no LiteRT (.tflite) file: it does not begin as one")
    try:
        return _parse(str(path), content)
    except DeepLabError:
        raise
    except (*_DAMAGE, struct.error) as error:
        raise DeepLabError(f"{path} is a damaged or truncated LiteRT file") from error


def _parse(path: str, content: bytes) -> LitertFile:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if len(model.subgraphs) != 1:
        raise DeepLabError(f"{path} holds {len(model.subgraphs)} graphs; one is understood")
    (graph,) = model.subgraphs
    kinds = [_kind(code) for code in model.operatorCodes]
    tensors = tuple(_tensor(path, tensor, model.buffers) for tensor in graph.tensors)
    operators = tuple(
        Operator(
            position=position,
            kind=kinds[_in_range(operator.opcodeIndex, len(kinds))],
            inputs=_given(operator.inputs, len(tensors)),
            outputs=_given(operator.outputs, len(tensors)),
            options=vars(operator.builtinOptions) if operator.builtinOptions else {},
        )
        for position, operator in enumerate(graph.operators)
    )
    inputs, outputs = _given(graph.inputs, len(tensors)), _given(graph.outputs, len(tensors))
    _check_order(path, tensors, operators, inputs, outputs)
    return LitertFile(path, tensors, operators, inputs, outputs)


def _kind(code: schema.OperatorCodeT) -> str:
    # Older files have the first of the two fields only, newer ones the same number in both where
    # it fits.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _OPERATOR_NAMES[number]


def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}


_OPERATOR_NAMES = _names(schema.BuiltinOperator)
_TYPE_NAMES = _names(schema.TensorType)


def _tensor(path: str, tensor: schema.TensorT, buffers: list[schema.BufferT]) -> Tensor:
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    kind, name = _TYPE_NAMES[tensor.type], (tensor.name or b"").decode(errors="replace")
    data = buffers[_in_range(tensor.buffer, len(buffers))].data
    if data is not None and len(data) and kind in _NUMBERS and tensor.sparsity is None:
        number_type = np.dtype(kind.lower()).newbyteorder("<")
        if len(data) != int(np.prod(shape, dtype=np.int64)) * number_type.itemsize:
            raise DeepLabError(
                f"{path} is damaged: {name} has {len(data)} bytes for {kind}{list(shape)}"
            )
        data = data.view(number_type).reshape(shape)
    else:
        data = None
    quantization = tensor.quantization
    scale = zero_point = None
    if quantization is not None and quantization.details is None:
        scale, zero_point = quantization.scale, quantization.zeroPoint
    return Tensor(
        name=name,
        type=kind,
        shape=shape,
        data=data,
        scale=np.asarray([] if scale is None else scale, np.float64),
        zero_point=np.asarray([] if zero_point is None else zero_point, np.int64),
        axis=quantization.quantizedDimension if quantization is not None else 0,
    )


def _given(numbers: Any, count: int) -> tuple[int, ...]:
    given = [int(number) for number in (() if numbers is None else numbers)]
    while given and given[-1] == -1:
        given.pop()
    return tuple(_in_range(number, count) for number in given)


def _in_range(number: int, count: int) -> int:
    if not 0 <= number < count:
        raise IndexError(number)
    return number


def _check_order(
    path: str,
    tensors: tuple[Tensor, ...],
    operators: tuple[Operator, ...],
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
) -> None:
    """Everything must be computed once, before it is used: what walks the graph relies on it."""
    known = set(inputs)
    for operator in operators:
        for number in operator.inputs:
            if number not in known and tensors[number].data is None:
                known.add(number)  # An unread constant; nothing may compute it afterwards.
        if not operator.outputs or known.intersection(operator.outputs):
            raise DeepLabError(f"{path} is damaged: {operator} is out of order")
        known.update(operator.outputs)
    if not outputs or not known.issuperset(outputs):
        raise DeepLabError(f"{path} is damaged: nothing computes its output")
