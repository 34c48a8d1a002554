"""The DeepLabv3+ of keras.io's example (`keras-io/deeplabv3p-resnet50`), for human parts (CIHP).

It is DeepLabv3+ with dense convolutions on a ResNet-50 of Keras that ends within its fourth block.
Its head is made by hand, so that its layers have the names that Keras counts out: `_HEAD`. It
classifies behind its last resize, ours before, which is the same for a bilinear resize.

Source: the example "Multiclass semantic segmentation using DeepLabV3+" of keras.io, as of 2021.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from deeplab.errors import DeepLabError
from deeplab.interop.keras import resnet
from deeplab.interop.keras.files import Layer, folded, open_keras
from deeplab.interop.loading import Found, Parts, Request, Stored
from deeplab.interop.report import list_of
from deeplab.models import DeepLabModel, ModelConfig, variables_by_path

CLASS_NAMES = (
    "Background",
    "Hat",
    "Hair",
    "Glove",
    "Sunglasses",
    "UpperClothes",
    "Dress",
    "Coat",
    "Socks",
    "Pants",
    "Torso-skin",
    "Scarf",
    "Skirt",
    "Face",
    "Left-arm",
    "Right-arm",
    "Left-leg",
    "Right-leg",
    "Left-shoe",
    "Right-shoe",
)
_BACKBONE = "resnet_50_keras"
# Of the backbone, what the example uses: up to conv4_block6_2.
_LAST_UNITS = (3, 4, 6)
_UNUSED_LAYERS = ("conv4_block6_3_conv", "conv4_block6_3_bn")

# Our path of a layer of the head -> which of the convolutions without a name it is, in the order of
# their making; its batch norm has the same number.
_HEAD = {
    "aspp/image_pooling": 0,
    "aspp/conv0": 1,
    "aspp/conv1": 2,
    "aspp/conv2": 3,
    "aspp/conv3": 4,
    "aspp/projection": 5,
    "decoder/low_level_projection": 6,
    "decoder/conv0": 7,
    "decoder/conv1": 8,
    "logits": 9,
}
# The order in the model, which is that of depth.
_HEAD_ORDER = (
    *("conv2d", "batch_normalization", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4"),
    *("batch_normalization_1", "batch_normalization_2", "batch_normalization_3"),
    *("batch_normalization_4", "conv2d_5", "batch_normalization_5", "conv2d_6"),
    *("batch_normalization_6", "conv2d_7", "batch_normalization_7", "conv2d_8"),
    *("batch_normalization_8", "conv2d_9"),
)
_COUNTED = re.compile(r"^(conv2d|batch_normalization)(?:_(\d+))?$")
# Epsilon of the head's batch norms there, and here: smaller ones act as this, see `BatchNorm`.
_EPSILON, _OUR_EPSILON = 1e-3, 1.001e-5


def read(request: Request) -> Found:
    """The network in a SavedModel folder or a file of weights of the example.

    Raises:
        DeepLabError: if it cannot be read, or is another network.
    """
    layers = _layers()
    stored = _with_numbers_from_zero(open_keras(request.path, [layers]))
    classes = stored.shapes.get("conv2d_9/bias", (0,))[0]
    if not classes or "conv4_block6_2_conv/kernel" not in stored.shapes:
        raise DeepLabError(
            f"{stored.path} is no DeepLabv3+ of keras.io, which has conv2d_9 and "
            f"conv4_block6_2_conv; its variables are {list_of(stored.shapes) or 'none'}"
        )
    config = request.config or ModelConfig(
        _BACKBONE,
        num_classes=request.fresh_classes or classes,
        output_stride=16,
        atrous_rates=(6, 12, 18),
        backbone_options={"keras_io": True},
        aspp_separable=False,
        decoder_separable=False,
        resize="half_pixel",
    )
    lines = (
        f"found the DeepLabv3+ of keras.io: {_BACKBONE} up to conv4_block6_2, output stride 16",
        "assumed images x / 127.5 - 1, as the published one was fed; the example of 2024 has the "
        "mean of ImageNet subtracted instead, which no variable tells",
    )
    biases = resnet.biases(layers) | {"conv2d/bias": "batch_normalization/moving_mean"}
    shift = _EPSILON - _OUR_EPSILON
    stored = folded(
        stored,
        biases=biases,
        variance_shifts={
            f"{name}/moving_variance": shift for name in _HEAD_ORDER if name.startswith("batch_")
        },
    )

    def parts(model: DeepLabModel) -> Parts:
        names = {path: _name(path) for path in variables_by_path(model)}
        fresh = {name for path, name in names.items() if request.leaves_fresh(path)}
        return Parts(
            names=names,
            fresh=fresh.__contains__,
            ignored=lambda name: request.backbone_only and name.startswith(("conv2d", "batch_")),
            folded=biases,
        )

    is_cihp = classes == len(CLASS_NAMES) and request.fresh_classes is None
    return Found(config, lines, stored, parts, class_names=CLASS_NAMES if is_cihp else None)


def _layers() -> Sequence[Layer]:
    backbone = [r for r in resnet.layers(_LAST_UNITS) if r.name not in _UNUSED_LAYERS]
    head = [Layer(name, _COUNTED.match(name)[1]) for name in _HEAD_ORDER]  # type: ignore[index]
    return (*backbone, *head)


def _name(path: str) -> str:
    """The name there of a variable of ours."""
    layer, _, leaf = path.rpartition("/")
    if layer.startswith("backbone/"):
        return f"{resnet.layer_name(layer)}/{leaf}"
    is_norm = layer.endswith("/batch_norm")
    number = _HEAD.get(layer.removesuffix("/batch_norm"))
    if number is None:
        return path  # of a head that the example does not have, and so missing in the file
    kind = "batch_normalization" if is_norm else "conv2d"
    return f"{kind}_{number}/{leaf}" if number else f"{kind}/{leaf}"


def _with_numbers_from_zero(stored: Stored) -> Stored:
    """The same with the counted layers counted from 0.

    They are not, where whoever trained it had made other models before in the same session.
    """
    layers = dict.fromkeys(name.rpartition("/")[0] for name in stored.shapes)
    names: dict[str, str] = {}
    for kind in ("conv2d", "batch_normalization"):
        found = [
            (int(m[2] or 0), m[0])
            for layer in layers
            if (m := _COUNTED.match(layer)) and m[1] == kind
        ]
        for index, (_, layer) in enumerate(sorted(found)):
            names[layer] = f"{kind}_{index}" if index else kind
    if all(layer == name for layer, name in names.items()):
        return stored

    def renamed(name: str) -> str:
        layer, _, leaf = name.rpartition("/")
        return f"{names.get(layer, layer)}/{leaf}"

    places: Mapping[str, str] = {renamed(name): name for name in stored.shapes}
    shapes = {name: stored.shapes[place] for name, place in places.items()}
    return Stored(stored.path, shapes, lambda name: stored.read(places[name]))
