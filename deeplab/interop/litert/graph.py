"""From the operators of a LiteRT file to convolutions with real weights.

Converters write one convolution in many ways: quantized, with half-precision weights, padded or
dilated by operators around it, with its bias or activation as operators behind it. Here each
becomes one `Convolution` with "same" padding; what is left over stays a `Step`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import NamedTuple

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.interop.litert.file import LitertFile, Operator, Tensor

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_SAME_PADDING = 0
_ACTIVATIONS = {0: "linear", 1: "relu", 3: "relu6"}
_ACTIVATION_OPERATORS = {"RELU": "relu", "RELU6": "relu6"}


@dataclasses.dataclass(eq=False)
class Convolution:
    """A convolution with bias and activation, padded as TensorFlow's "same".

    Attributes:
        operator: where it stands in the file.
        depthwise: one kernel a channel.
        input: number of the tensor that it reads.
        output: number of the tensor that it makes, activation included.
        kernel: float32 [h,w,in,out], or [h,w,channels,1] of a depthwise one.
        bias: float32 [out].
        stride: along both axes.
        rate: atrous rate along both axes; 1 for a 1x1 kernel.
        activation: "linear", "relu" or "relu6".
    """

    operator: Operator
    depthwise: bool
    input: int
    output: int
    kernel: np.ndarray
    bias: np.ndarray
    stride: int
    rate: int
    activation: str

    @property
    def is_pointwise(self) -> bool:
        """Whether it is a dense 1x1 convolution without stride."""
        return not self.depthwise and self.kernel.shape[:2] == (1, 1) and self.stride == 1

    @property
    def inputs(self) -> tuple[int, ...]:
        """The tensors that it reads."""
        return (self.input,)


class Step(NamedTuple):
    """Any other operator: what it is, and which computed tensors it reads and makes."""

    operator: Operator
    inputs: tuple[int, ...]
    output: int

    @property
    def kind(self) -> str:
        """Its name in the schema."""
        return self.operator.kind


Node = Convolution | Step


class Affine(NamedTuple):
    """scale * x + offset."""

    scale: float
    offset: float


class _Pads(NamedTuple):
    """Zeros that an operator put around `input` for the convolution behind it."""

    input: int
    before: tuple[int, int]
    after: tuple[int, int]
    block: int  # of SPACE_TO_BATCH_ND; 1 for PAD


class Graph:
    """The graph of a file in one pass, in which what belongs to a convolution is folded into it.

    Attributes:
        file: where it comes from.
        nodes: in the order in which they run.
        input: number of the tensor of images.
        output: number of the tensor of the result.
        normalization: what the file does to the numbers it is fed, quantization included, before
            the first convolution; None if they are fed as they enter it.
    """

    def __init__(self, file: LitertFile) -> None:
        """Simplifies a file.

        Raises:
            DeepLabError: for a convolution that is none of ours.
        """
        if len(file.inputs) != 1 or len(file.outputs) != 1:
            raise DeepLabError(
                f"{file.path} is no DeepLab: it has {len(file.inputs)} inputs and "
                f"{len(file.outputs)} outputs, not one of each"
            )
        self.file = file
        self.input = file.inputs[0]
        self._constants = {
            number: values
            for number, tensor in enumerate(file.tensors)
            if (values := tensor.dequantized()) is not None
        }
        self._alias: dict[int, int] = {}
        self._padded: dict[int, _Pads] = {}
        self._in_batch: dict[int, _Pads] = {}
        self._uses = Counter(number for op in file.operators for number in op.inputs)
        self._uses.update(file.outputs)
        self.normalization = _quantization(file.tensors[self.input])
        self._made_by: dict[int, Node] = {}
        for operator in file.operators:
            if (node := self._node(operator)) is not None:
                self._made_by[node.output] = node
        self.nodes = tuple(self._made_by.values())
        self.output = self._resolve(file.outputs[0])

    def producer(self, tensor: int) -> Node | None:
        """The node that makes a tensor; None for the input."""
        return self._made_by.get(tensor)

    def consumers(self, tensor: int) -> list[Node]:
        """The nodes that read a tensor, in order."""
        return [node for node in self.nodes if tensor in node.inputs]

    def _resolve(self, number: int) -> int:
        """The tensor that stands for another one which was folded away."""
        while number in self._alias:
            number = self._alias[number]
        return number

    def _node(self, operator: Operator) -> Node | None:
        """The node of an operator; None if it was folded into another."""
        if operator.kind in CONVOLUTIONS:
            return self._convolution(operator)
        match operator.kind:
            case "QUANTIZE" | "DEQUANTIZE":
                folded = self._fold_cast(operator)
            case "PAD" | "SPACE_TO_BATCH_ND":
                folded = self._fold_pads(operator)
            case "BATCH_TO_SPACE_ND":
                folded = self._fold_batch_to_space(operator)
            case "RELU" | "RELU6":
                folded = self._fold_activation(operator)
            case "ADD" | "SUB" | "MUL" | "DIV":
                folded = self._fold_constant(operator)
            case _:
                folded = False
        if folded:
            return None
        computed = tuple(
            self._resolve(number)
            for number in operator.inputs
            if self.file.tensors[number].data is None and number not in self._constants
        )
        if any(number in self._padded or number in self._in_batch for number in computed):
            raise self._not_understood(operator, "stands between padding and a convolution")
        return Step(operator, computed, operator.outputs[0])

    def _fold_cast(self, operator: Operator) -> bool:
        source, target = operator.inputs[0], operator.outputs[0]
        if source in self._constants:
            self._constants[target] = self._constants[source]
        else:
            self._alias[target] = source
        return True

    def _fold_pads(self, operator: Operator) -> bool:
        data = [self.file.tensors[number].data for number in operator.inputs[1:]]
        if operator.kind == "PAD":
            pads = data[0] if len(data) == 1 else None
            if pads is None or pads.shape != (4, 2) or pads[[0, 3]].any():
                return False
            block, pads = 1, pads[1:3]
        else:
            sizes, pads = data if len(data) == 2 else (None, None)
            if sizes is None or pads is None or sizes.shape != (2,) or pads.shape != (2, 2):
                return False
            if sizes[0] != sizes[1]:
                return False
            block = int(sizes[0])
        self._padded[operator.outputs[0]] = _Pads(
            input=self._resolve(operator.inputs[0]),
            before=(int(pads[0, 0]), int(pads[1, 0])),
            after=(int(pads[0, 1]), int(pads[1, 1])),
            block=block,
        )
        return True

    def _fold_batch_to_space(self, operator: Operator) -> bool:
        source = self._resolve(operator.inputs[0])
        pads = self._in_batch.pop(source, None)
        if pads is None or self._uses[operator.inputs[0]] != 1:
            return False
        shape = self.file.tensors[operator.outputs[0]].shape
        before = self.file.tensors[pads.input].shape
        crops = self.file.tensors[operator.inputs[-1]].data
        if crops is None or crops.shape != (2, 2) or crops[:, 0].any() or shape[1:3] != before[1:3]:
            raise self._not_understood(operator, "does not undo the operator before")
        self._alias[operator.outputs[0]] = source
        return True

    def _fold_activation(self, operator: Operator) -> bool:
        maker = self._open_convolution(operator.inputs[0])
        if maker is None:
            return False
        maker.activation = _ACTIVATION_OPERATORS[operator.kind]
        self._alias[operator.outputs[0]] = maker.output
        return True

    def _fold_constant(self, operator: Operator) -> bool:
        """A bias, a batch norm that was not folded, or the normalization of the input."""
        if len(operator.inputs) != 2:
            return False
        operands = list(operator.inputs)
        if operands[0] in self._constants and operator.kind in ("ADD", "MUL"):
            operands.reverse()
        if operands[1] not in self._constants or operands[0] in self._constants:
            return False
        shape = self._constants[operands[1]].shape
        values, activation = self._constants[operands[1]].reshape(-1), _activation(operator)
        one, zero = np.ones_like(values), np.zeros_like(values)
        scale, offset = {
            "ADD": (one, values),
            "SUB": (one, -values),
            "MUL": (values, zero),
            "DIV": (one / values, zero),
        }[operator.kind]
        source = self._resolve(operands[0])
        if source == self.input and values.size == 1 and activation == "linear":
            affine = Affine(float(np.sum(scale)), float(np.sum(offset)))
            self.normalization = _after(self.normalization or Affine(1.0, 0.0), affine)
            self._alias[operator.outputs[0]] = source
            return True
        maker = self._open_convolution(operands[0])
        if maker is None or activation is None:
            return False
        if values.size != 1 and not values.size == shape[-1] == maker.bias.size:
            return False
        along = (-1, 1) if maker.depthwise else (1, -1)
        maker.kernel = maker.kernel * scale.reshape(along)
        maker.bias = maker.bias * scale + offset
        maker.activation = activation
        self._alias[operator.outputs[0]] = maker.output
        return True

    def _open_convolution(self, number: int) -> Convolution | None:
        """The convolution that made a tensor, if only one operator reads it and it is linear."""
        while self._uses[number] == 1:
            match self._made_by.get(number):
                case Convolution(activation="linear") as maker:
                    return maker
                case None if number in self._alias:
                    number = self._alias[number]
                case _:
                    return None
        return None

    def _convolution(self, operator: Operator) -> Convolution:
        options, depthwise = operator.options, operator.kind == "DEPTHWISE_CONV_2D"
        if len(operator.inputs) < 2:
            raise self._not_understood(operator, "has no kernel")
        kernel = self._constants.get(operator.inputs[1])
        if kernel is None or kernel.ndim != 4:
            tensor = self.file.tensors[operator.inputs[1]]
            raise self._not_understood(
                operator, f"has no readable kernel, but {tensor.type}{list(tensor.shape)}"
            )
        # Stored [out,h,w,in], or [1,h,w,channels].
        kernel = kernel.transpose((1, 2, 3, 0))
        channels = kernel.shape[2] if depthwise else kernel.shape[3]
        bias = self._bias(operator, channels)
        activation = _activation(operator)
        stride, rate = options.get("strideH", 1), options.get("dilationHFactor", 1)
        if activation is None:
            raise self._not_understood(operator, "has an activation other than ReLU and ReLU6")
        if stride != options.get("strideW", 1) or rate != options.get("dilationWFactor", 1):
            raise self._not_understood(operator, "has another stride or rate along each axis")
        if depthwise and kernel.shape[3] != 1:
            raise self._not_understood(operator, "has no kernel of one per channel")
        source, output = self._resolve(operator.inputs[0]), operator.outputs[0]
        if source in self._in_batch:
            raise self._not_understood(operator, "stands between padding and a convolution")
        if not depthwise and self.file.tensors[source].shape[3:] != kernel.shape[2:3]:
            raise self._not_understood(operator, "does not read all channels of its input")
        pads = self._padded.get(source)
        if pads is not None and pads.block > 1:
            rate = rate * pads.block
            self._in_batch[output] = pads
        if kernel.shape[:2] == (1, 1):
            rate = 1
        self._check_padding(operator, kernel, stride, rate, pads)
        return Convolution(
            operator=operator,
            depthwise=depthwise,
            input=pads.input if pads else source,
            output=output,
            kernel=kernel,
            bias=bias,
            stride=stride,
            rate=rate,
            activation=activation,
        )

    def _bias(self, operator: Operator, channels: int) -> np.ndarray:
        if len(operator.inputs) < 3:
            return np.zeros(channels, np.float32)
        values = self._constants.get(operator.inputs[2])
        if values is None:
            # A bias that states no scale has the product of the input's and the kernel's.
            source, kernel, bias = (self.file.tensors[number] for number in operator.inputs[:3])
            values = bias.dequantized(source.scale * kernel.scale) if source.scale.size else None
        if values is None or values.shape != (channels,):
            raise self._not_understood(operator, f"has no bias of {channels} numbers")
        return values

    def _check_padding(
        self, operator: Operator, kernel: np.ndarray, stride: int, rate: int, pads: _Pads | None
    ) -> None:
        """The convolution must pad as "same" does, whoever pads."""
        if operator.options.get("padding", _SAME_PADDING) == _SAME_PADDING and pads is None:
            return
        if kernel.shape[:2] == (1, 1) and pads is None:
            return
        shape = self.file.tensors[pads.input if pads else operator.inputs[0]].shape
        if len(shape) != 4 or operator.options.get("padding") == _SAME_PADDING:
            raise self._not_understood(operator, "is padded twice")
        for axis in range(2):
            reach, size = (kernel.shape[axis] - 1) * rate + 1, shape[axis + 1]
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
            before = pads.before[axis] if pads else 0
            after = pads.after[axis] if pads else 0
            # To fill its blocks, SPACE_TO_BATCH_ND pads more at the end; what that makes is
            # cropped again.
            surplus = after - (total - total // 2)
            if before != total // 2 or not 0 <= surplus < (pads.block if pads else 1):
                raise self._not_understood(
                    operator, f"is padded by {before} and {after}, not as TensorFlow's 'same'"
                )

    def _not_understood(self, operator: Operator, why: str) -> DeepLabError:
        return DeepLabError(f"{self.file.path}: {operator} {why}: this is not understood")


def _activation(operator: Operator) -> str | None:
    return _ACTIVATIONS.get(operator.options.get("fusedActivationFunction", 0))


def _quantization(images: Tensor) -> Affine | None:
    """What stored numbers of 0..255 mean; None if they are the values themselves."""
    if images.is_real or images.scale.size != 1:
        return None
    scale, zero_point = float(images.scale[0]), float(np.sum(images.zero_point))
    # int8 counts from -128; the images are 0..255 in both.
    zero_point += 128.0 if images.type == "INT8" else 0.0
    return Affine(scale, -scale * zero_point)


def _after(first: Affine, second: Affine) -> Affine:
    return Affine(first.scale * second.scale, first.offset * second.scale + second.offset)
