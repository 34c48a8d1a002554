"""ImageNet weights of keras.applications, the backbones that DeepLab has: MobileNetV2 and ResNets.

Not every network of a name is the same network: `REFUSED` says of those that people would try why
they are none of ours.

Source of names and epsilons: keras/src/applications, version 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from deeplab.errors import DeepLabError
from deeplab.interop.keras import resnet
from deeplab.interop.keras.files import Layer, folded, open_keras
from deeplab.interop.loading import Classifier, Found, Parts, Request, Stored
from deeplab.interop.report import list_of
from deeplab.interop.widths import depth_multiplier, nominal_widths
from deeplab.model_dir import ClassifierDescription
from deeplab.models import DeepLabModel, ModelConfig, variables_by_path

# A layer -> the backbone that it is of. Those of deeper networks come first: they have the others'.
_NETWORKS = {
    "conv4_block23_3_conv": "resnet_101_keras",
    "conv5_block3_3_conv": "resnet_50_keras",
    "block_16_project": "mobilenet_v2",
}
# A layer -> the network that it is of, and why that is no backbone here.
REFUSED = {
    "conv4_block36_3_conv": "ResNet152, a depth that is no backbone here",
    "conv2_block1_preact_bn": "a ResNetV2, whose norms stand before the convolutions",
    "block14_sepconv2": (
        "Chollet's Xception: that of DeepLab has more layers, strides in the place of poolings, "
        "and a norm between the depthwise and the pointwise convolution"
    ),
    "conv_dw_13": "MobileNet of the first version, which has no inverted residuals",
    "expanded_conv_squeeze_excite_conv": (
        "MobileNetV3: that of DeepLab has other widths in its last blocks"
    ),
    "block5_conv3": "VGG, which is no backbone here",
    "top_conv": "EfficientNet, which is no backbone here",
    "mixed10": "InceptionV3, which is no backbone here",
}

NAMES = ("MobileNetV2", "ResNet50", "ResNet101")

_MOBILENET = re.compile(r"^backbone/expanded_conv(?:_(\d+))?/(expand|depthwise|project)$")
# What stands behind the backbone.
_CLASSIFIER = re.compile(r"^(predictions|Logits|probs|fc1000|Conv_1|Conv_1_bn)/")


def read(request: Request) -> Found:
    """The backbone in a file of keras.applications.

    Args:
        request: its path is a file of weights or of a whole model, with or without its classifier.

    Raises:
        DeepLabError: if it cannot be read, or is of another network.
    """
    stored = open_keras(request.path, list(_LAYERS.values()))
    backbone = _recognize(stored)
    config = request.config
    if config is None:
        config = _config(backbone, stored, request.output_stride or 16)
    elif config.backbone != backbone:
        raise DeepLabError(f"{stored.path} is a {backbone}, not a {config.backbone}")
    lines = [f"found {backbone} of keras.applications, a classifier without the head of DeepLab"]
    biases: dict[str, str] = {}
    if backbone in resnet.UNITS:
        lines.append("its images are B, G, R: the inputs of its first kernel are turned round")
        biases = resnet.biases(_LAYERS[backbone])
        stored = folded(stored, biases=biases, reversed_inputs=("conv1_conv/kernel",))

    def parts(model: DeepLabModel) -> Parts:
        paths = variables_by_path(model)
        heads = {path: path for path in paths if not path.startswith("backbone/")}
        return Parts(
            names={path: heads.get(path) or _name(path, backbone) for path in paths},
            fresh=heads.__contains__,
            ignored=lambda name: bool(_CLASSIFIER.match(name)),
            folded=biases,
        )

    return Found(config, tuple(lines), stored, parts, classifier=_classifier(stored))


def _classifier(stored: Stored) -> Classifier | None:
    """The classifier, if the file has it ("top"), to be used as the usual one of ImageNet."""
    names = {
        "classifier/logits/kernel": "predictions/kernel",
        "classifier/logits/bias": "predictions/bias",
    }
    hidden = stored.shapes.get("Conv_1/kernel")
    if hidden:
        names["classifier/conv/kernel"] = "Conv_1/kernel"
        for leaf in ("gamma", "beta", "moving_mean", "moving_variance"):
            names[f"classifier/conv/batch_norm/{leaf}"] = f"Conv_1_bn/{leaf}"
    if any(name not in stored.shapes for name in names.values()):
        return None
    description = ClassifierDescription(
        classes=stored.shapes["predictions/bias"][0],
        resize=256,
        crop=224,
        interpolation="bilinear",
        hidden_channels=hidden[-1] if hidden else None,
    )
    return Classifier(description, names)


def _recognize(stored: Stored) -> str:
    """Our key of the network in a file."""
    layers = {name.rpartition("/")[0] for name in stored.shapes}
    for layer, network in REFUSED.items():
        if layer in layers:
            raise DeepLabError(f"{stored.path} is {network}; read are {', '.join(NAMES)}")
    for layer, backbone in _NETWORKS.items():
        if layer in layers:
            return backbone
    raise DeepLabError(
        f"{stored.path} is none of {', '.join(NAMES)}: its layers are {list_of(sorted(layers))}"
    )


def _config(backbone: str, stored: Stored, output_stride: int) -> ModelConfig:
    if backbone != "mobilenet_v2":
        return ModelConfig(backbone, output_stride=output_stride)
    names = {path: _name(path, backbone) for path in nominal_widths(backbone)}
    widths = {p: stored.shapes[name][-1] for p, name in names.items() if name in stored.shapes}
    scaled = depth_multiplier(backbone, widths, divisor=8) if len(widths) == len(names) else None
    if scaled is None:
        raise DeepLabError(
            f"{stored.path}: the widths {', '.join(map(str, widths.values()))} follow from no alpha"
        )
    return ModelConfig(
        backbone,
        output_stride=output_stride,
        depth_multiplier=scaled[0],
        backbone_options={} if scaled[0] == 1 else {"divisible_by": 8},
    )


def _name(path: str, backbone: str) -> str:
    """The name there of a variable of our backbone."""
    layer, _, leaf = path.rpartition("/")
    name = _mobilenet_name(layer) if backbone == "mobilenet_v2" else resnet.layer_name(layer)
    return f"{name}/{leaf}"


def _mobilenet_name(layer: str) -> str:
    is_norm = layer.endswith("/batch_norm")
    layer = layer.removesuffix("/batch_norm")
    if layer == "backbone/conv":
        return "bn_Conv1" if is_norm else "Conv1"
    match = _MOBILENET.match(layer)
    if match is None:
        raise AssertionError(f"{layer} is no layer of Keras' MobileNetV2")
    block = f"block_{match.group(1)}" if match.group(1) else "expanded_conv"
    return f"{block}_{match.group(2)}{'_BN' if is_norm else ''}"


def _mobilenet_layers() -> Iterator[Layer]:
    """Those of the classifier too: its convolution is counted with the others."""
    names = ["Conv1", "expanded_conv_depthwise", "expanded_conv_project"]
    for block in range(1, 17):
        names += [f"block_{block}_{part}" for part in ("expand", "depthwise", "project")]
    for name in (*names, "Conv_1"):
        yield Layer(name, "depthwise_conv2d" if name.endswith("depthwise") else "conv2d")
        norm = {"Conv1": "bn_Conv1", "Conv_1": "Conv_1_bn"}.get(name, f"{name}_BN")
        yield Layer(norm, "batch_normalization")


# Our backbone -> the layers of the network there, in order.
_LAYERS = {
    **{backbone: tuple(resnet.layers(units)) for backbone, units in resnet.UNITS.items()},
    "mobilenet_v2": tuple(_mobilenet_layers()),
}
