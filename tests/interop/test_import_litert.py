"""Networks in LiteRT files: the same function, or one clear line."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import litert_files
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import deeplab
from deeplab.evaluation import evaluate
from deeplab.interop import ImportReport, import_weights
from deeplab.interop.litert import FOLDED_NOTE, read_litert
from deeplab.interop.litert.file import Tensor, read_litert_file, schema
from deeplab.interop.litert.graph import Graph
from deeplab.interop.litert.match import match_graph
from deeplab.model_dir import ModelDescription, save_checkpoint, write_description
from deeplab.models import DeepLabModel, ModelConfig, build_model, intermediates, variables_by_path

FLOAT = "deeplabv3_257_mv_gpu"
QUANTIZED = "deeplabv3_mnv2_dm05_pascal_quant"
IMAGENET = "tf2_mobilenet_v2_1.0_224_ptq"
SMALL = ModelConfig(
    "mobilenet_v2",
    num_classes=3,
    output_stride=8,
    atrous_rates=(),
    decoder=False,
    depth_multiplier=0.25,
    aspp_channels=16,
)


def random_model(config: ModelConfig) -> DeepLabModel:
    model = build_model(config)
    litert_files.randomize(model)
    return model


def random_images(size: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (1, size, size, 3)).astype(np.float32)


def imported(path: Path) -> DeepLabModel:
    model = build_model(read_litert(path).config)
    load_litert(model, path)
    return model


def load_litert(model: DeepLabModel, path: Path) -> ImportReport:
    return import_weights(model, source="litert", path=str(path))


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.std(theirs))


@pytest.fixture(scope="module")
def small() -> tuple[DeepLabModel, bytes]:
    model = random_model(SMALL)
    return model, litert_files.convert(model, size=65)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, 64),
        ({"output_stride": 16, "atrous_rates": (6, 12, 18)}, 65),
        ({"output_stride": 32, "depth_multiplier": 0.35, "image_pooling": False}, 65),
    ],
)
def test_same_network_and_same_function(changes: dict, size: int, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, **changes)
    original = random_model(config)
    path = litert_files.write(tmp_path, litert_files.convert(original, size=size))
    assert read_litert(path).config == config
    images = random_images(size)
    assert relative_difference(imported(path)(images), original(images)) < 1e-4


@pytest.mark.slow
def test_half_precision(small: tuple[DeepLabModel, bytes], tmp_path: Path) -> None:
    original, _ = small
    path = litert_files.write(tmp_path, litert_files.convert(original, size=65, float16=True))
    images = random_images(65)
    assert relative_difference(imported(path)(images), original(images)) < 0.03
    assert any("stored as FLOAT16" in note for note in read_litert(path).notes)


@pytest.mark.slow
def test_8_bit_weights_are_within_half_a_step(
    small: tuple[DeepLabModel, bytes], tmp_path: Path
) -> None:
    original, content = small
    exact = read_litert(litert_files.write(tmp_path, content)).weights
    quantized = litert_files.convert(original, size=65, int8=True)
    config, weights, *_ = read_litert(litert_files.write(tmp_path, quantized))
    assert config == SMALL
    for path, value in exact.items():
        if path.endswith("kernel"):
            axis = 2 if "depthwise" in path else 3
            largest = np.abs(value).max(tuple({0, 1, 2, 3} - {axis}), keepdims=True)
            assert (np.abs(weights[path] - value) <= 0.502 * largest / 127 + 1e-7).all(), path
        else:
            np.testing.assert_allclose(weights[path], value, atol=1e-3, err_msg=path)


def test_folded_batch_norm_is_an_addition(
    small: tuple[DeepLabModel, bytes], tmp_path: Path
) -> None:
    path = litert_files.write(tmp_path, small[1])
    model = build_model(SMALL)
    report = deeplab.import_weights(model, source="litert", path=str(path))
    assert report.batch_norm_folded
    assert FOLDED_NOTE in report.notes
    assert report.loaded.keys() == variables_by_path(model).keys()
    assert not report.missing and not report.unused and not report.ignored
    values = variables_by_path(model)
    for part, epsilon in (("backbone/conv", 1e-3), ("aspp/conv0", 1.001e-5)):
        norm = f"{part}/batch_norm"
        np.testing.assert_allclose(values[f"{norm}/gamma"], np.sqrt(1 + epsilon), rtol=1e-7)
        np.testing.assert_array_equal(values[f"{norm}/moving_mean"], 0)
        np.testing.assert_array_equal(values[f"{norm}/moving_variance"], 1)


def test_loads_at_another_output_stride(small: tuple[DeepLabModel, bytes], tmp_path: Path) -> None:
    path = litert_files.write(tmp_path, small[1])
    model = build_model(SMALL.at_output_stride(16))
    load_litert(model, path)
    expected = deeplab.models.at_output_stride(small[0], 16)
    images = random_images(65)
    assert relative_difference(model(images), expected(images)) < 1e-4


@pytest.mark.parametrize(
    "change",
    [
        litert_files.dilation_by_space_to_batch,
        litert_files.padding_by_operator,
        litert_files.activation_by_operator,
        litert_files.bias_by_operator,
    ],
)
def test_other_spellings_of_the_same_network(
    change: Callable, small: tuple[DeepLabModel, bytes], tmp_path: Path
) -> None:
    config, weights, *_ = read_litert(litert_files.write(tmp_path, small[1]))
    changed = litert_files.rewritten(small[1], change)
    assert len(changed) > len(small[1])
    other_config, other_weights, *_ = read_litert(litert_files.write(tmp_path, changed))
    assert other_config == config
    for path, value in weights.items():
        np.testing.assert_array_equal(other_weights[path], value, err_msg=path)


def classifier(features: DeepLabModel) -> keras.Model:
    x = features.endpoints["high_level"]
    x = keras.layers.Conv2D(40, 1, name="widest")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU(max_value=6.0)(x))
    return keras.Model(features.input, keras.layers.Dense(5, activation="softmax")(x))


@pytest.mark.slow
def test_a_classifier_gives_its_backbone(tmp_path: Path) -> None:
    original = random_model(dataclasses.replace(SMALL, output_stride=32))
    path = litert_files.write(tmp_path, litert_files.convert(classifier(original), size=64))
    config, weights, *_ = read_litert(path)
    assert (config.num_classes, config.output_stride, config.depth_multiplier) == (None, 32, 0.25)
    assert all(name.startswith("backbone/") for name in weights)
    model = build_model(SMALL)
    logits = variables_by_path(model)["logits/kernel"].numpy()
    report = load_litert(model, path)
    assert all(not name.startswith("backbone/") for name in report.missing)
    # The two kernels behind the features; a converter leaves out biases that are zero.
    assert {(40, 1, 1, 80), (5, 40)} <= set(report.ignored.values())
    np.testing.assert_array_equal(variables_by_path(model)["logits/kernel"], logits)
    images = random_images(129)
    expected = intermediates(deeplab.models.at_output_stride(original, 8))(images)["high_level"]
    assert relative_difference(intermediates(model)(images)["high_level"], expected) < 1e-4


@pytest.mark.slow
def test_a_classifier_of_other_widths_and_makers(tmp_path: Path) -> None:
    # Keras' own: widths in multiples of 8 at every multiplier, padding by layers of its own.
    theirs = keras.applications.MobileNetV2(
        (96, 96, 3), alpha=0.5, weights=None, classes=5, classifier_activation=None
    )
    generator = np.random.default_rng(0)
    for variable in theirs.weights:
        if variable.name in ("beta", "moving_mean"):
            variable.assign(generator.normal(size=variable.shape) / 4)
    path = litert_files.write(tmp_path, litert_files.convert(theirs, size=96))
    config, _, notes, _ = read_litert(path)
    assert config.depth_multiplier == 0.5 and config.backbone_options == {"divisible_by": 8}
    assert "the file is fed normalized numbers, taken to be x / 127.5 - 1" in notes
    model = build_model(dataclasses.replace(config, num_classes=2))
    load_litert(model, path)
    images = random_images(96)
    features = keras.Model(theirs.input, theirs.get_layer("block_16_project_BN").output)
    expected = features(images / 127.5 - 1)
    assert relative_difference(intermediates(model)(images)["high_level"], expected) < 1e-4


def dequantized(**changes: object) -> np.ndarray | None:
    values: dict = {
        "name": "x",
        "type": "UINT8",
        "shape": (2, 1),
        "data": np.array([[128], [130]], np.uint8),
        "scale": np.array([0.5]),
        "zero_point": np.array([128]),
        "axis": 0,
    }
    return Tensor(**{**values, **changes}).dequantized()


def test_dequantization() -> None:
    np.testing.assert_array_equal(dequantized(), [[0], [1]])
    several = {"scale": np.array([1.0, 0.25]), "zero_point": np.array([0, 126])}
    np.testing.assert_array_equal(dequantized(**several), [[128], [1]])
    signed = {"type": "INT8", "data": np.array([[-3], [4]], np.int8)}
    np.testing.assert_array_equal(dequantized(**signed, zero_point=np.array([])), [[-1.5], [2]])
    assert dequantized(scale=np.array([])) is None
    assert dequantized(data=None) is None


def refusal(content: bytes, folder: Path) -> str:
    path = litert_files.write(folder, content)
    with pytest.raises(deeplab.DeepLabError) as error:
        read_litert(path)
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message.removeprefix(str(path))


def test_no_litert_file(tmp_path: Path) -> None:
    assert "no LiteRT (.tflite) file" in refusal(b"", tmp_path)
    assert "no LiteRT (.tflite) file" in refusal(b"some text that is no network", tmp_path)
    with pytest.raises(deeplab.DeepLabError, match="cannot be read"):
        read_litert(tmp_path / "nothing.tflite")
    with pytest.raises(deeplab.DeepLabError, match="cannot be read"):
        read_litert(tmp_path)


def test_truncated_at_any_place(small: tuple[DeepLabModel, bytes], tmp_path: Path) -> None:
    content = small[1]
    for length in (8, 9, 40, 1000, len(content) // 2, len(content) - 1000, len(content) - 4):
        assert "damaged" in refusal(content[:length], tmp_path), length


def test_damaged_bytes_never_end_in_a_traceback(
    small: tuple[DeepLabModel, bytes], tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(small[1])
        for place in generator.integers(8, len(content), 20):
            content[place] = generator.integers(256)
        try:
            Graph(read_litert_file(litert_files.write(tmp_path, bytes(content))))
        except deeplab.DeepLabError as error:
            assert "\n" not in str(error)


def half_pixel(model) -> None:
    for operator in model.subgraphs[0].operators:
        if hasattr(operator.builtinOptions, "alignCorners"):
            operator.builtinOptions.alignCorners = False


def not_finite(model) -> None:
    tensors, buffers = model.subgraphs[0].tensors, model.buffers
    kernel = next(t for t in tensors if list(t.shape[1:]) == [3, 3, 3])
    buffers[kernel.buffer].data = np.full(len(buffers[kernel.buffer].data), 255, np.uint8)


def relu_instead_of_relu6(model) -> None:
    for operator in model.subgraphs[0].operators:
        if getattr(operator.builtinOptions, "fusedActivationFunction", 0) == 3:
            operator.builtinOptions.fusedActivationFunction = 1


def other_rate(model) -> None:
    for operator in model.subgraphs[0].operators:
        if getattr(operator.builtinOptions, "dilationHFactor", 1) == 4:
            operator.builtinOptions.dilationHFactor = operator.builtinOptions.dilationWFactor = 3


def last(model, kind: str):
    number = getattr(schema.BuiltinOperator, kind)
    operators = reversed(model.subgraphs[0].operators)
    return next(o for o in operators if litert_files.operator_kind(model, o) == number)


def another_order_of_branches(model) -> None:
    join = last(model, "CONCATENATION")
    join.inputs = list(join.inputs)[::-1]


def rectified_branches(model) -> None:
    last(model, "CONCATENATION").builtinOptions.fusedActivationFunction = 1


def one_sum_less(model) -> None:
    operators, total = model.subgraphs[0].operators, last(model, "ADD")
    operators.remove(total)
    for operator in operators:
        operator.inputs = [total.inputs[0] if n == total.outputs[0] else n for n in operator.inputs]


def mean_instead_of_sum(model) -> None:
    total = last(model, "ADD")
    total.opcodeIndex, total.inputs = last(model, "MEAN").opcodeIndex, list(total.inputs)[:1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (another_order_of_branches, "it has nothing for aspp/concat"),
        (rectified_branches, "it has nothing for aspp/concat"),
        (one_sum_less, "it has nothing for backbone/expanded_conv_15/sum"),
        (mean_instead_of_sum, "it has nothing for backbone/expanded_conv_15/sum"),
        (half_pixel, "resizes without aligned corners"),
        (not_finite, "weights that are no finite numbers"),
        (relu_instead_of_relu6, "not as MobileNetV2 does"),
        (other_rate, "stride 1 and rate 3, here 1 and 4 at output stride 8"),
        (lambda model: model.subgraphs.append(model.subgraphs[0]), "holds 2 graphs"),
        (lambda model: setattr(model.subgraphs[0], "outputs", [0, 1]), "damaged|2 outputs"),
    ],
)
def test_what_is_not_understood_is_named(
    change: Callable, message: str, small: tuple[DeepLabModel, bytes], tmp_path: Path
) -> None:
    found = refusal(litert_files.rewritten(small[1], change), tmp_path)
    assert any(part in found for part in message.split("|")), found


def test_a_decoder_is_named(tmp_path: Path) -> None:
    model = random_model(dataclasses.replace(SMALL, decoder=True))
    found = refusal(litert_files.convert(model, size=65), tmp_path)
    assert "belongs to a decoder, which is not understood" in found


def test_another_network_is_refused(tmp_path: Path) -> None:
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(images)
    x = keras.layers.Conv2D(4, 1, activation="relu6")(x)
    model = keras.Model(images, keras.layers.Dense(2)(keras.layers.GlobalMaxPooling2D()(x)))
    found = refusal(litert_files.convert(model, size=32), tmp_path)
    assert "has 0 of the 17 inverted residuals of MobileNetV2" in found


@pytest.mark.slow
def test_nothing_is_loaded_into_another_model(
    small: tuple[DeepLabModel, bytes], tmp_path: Path
) -> None:
    path = litert_files.write(tmp_path, small[1])
    for changes, message in (
        ({"num_classes": 4}, r"logits/kernel has the shape \[1, 1, 16, 3\]"),
        ({"image_pooling": False}, "unused variables, aspp/image_pooling/kernel"),
        ({"atrous_rates": (6,)}, "missing variables, aspp/conv1/depthwise/kernel"),
    ):
        model = build_model(dataclasses.replace(SMALL, **changes))
        before = model.get_weights()
        with pytest.raises(deeplab.DeepLabError, match=message):
            load_litert(model, path)
        for ours, expected in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, expected)


@pytest.mark.slow
def test_other_atrous_rates_are_noticed(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, atrous_rates=(2, 4))
    path = litert_files.write(tmp_path, litert_files.convert(random_model(config), size=65))
    load_litert(build_model(config), path)
    with pytest.raises(deeplab.DeepLabError, match=r"rates \(2, 4\) at output stride 8, the model"):
        load_litert(build_model(dataclasses.replace(config, atrous_rates=(2, 6))), path)


def released(reference: Path, name: str) -> Path:
    return reference / "weights" / f"{name}.tflite"


def test_released_float_file_gives_its_logits(reference_data: Path) -> None:
    model = imported(released(reference_data, FLOAT))
    config = model.model_config
    assert (config.output_stride, config.depth_multiplier, config.num_classes) == (8, 0.5, 21)
    assert config.atrous_rates == () and not config.decoder and config.image_pooling
    run = intermediates(model)
    with np.load(reference_data / "weights" / f"{FLOAT}.golden.npz") as golden:
        photos = sorted({key.split("/")[0] for key in golden})
        for photo in photos:
            images = golden[f"{photo}/input_uint8"][None].astype(np.float32)
            ours = {name: value.numpy()[0] for name, value in run(images).items()}
            logits, features = golden[f"{photo}/logits33"], golden[f"{photo}/backbone33"]
            assert relative_difference(ours["logits_low_resolution"], logits) < 2e-5
            # The features are stored in half precision.
            assert relative_difference(ours["high_level"], features.astype(np.float32)) < 3e-3
            labels = ours["logits"].argmax(-1)
            assert (labels == golden[f"{photo}/argmax257"]).mean() >= 0.9999
    assert photos


def test_released_8_bit_file(reference_data: Path) -> None:
    config, weights, notes, _ = read_litert(released(reference_data, QUANTIZED))
    assert (config.output_stride, config.depth_multiplier, config.num_classes) == (16, 0.5, 21)
    assert len(weights) == len(variables_by_path(build_model(config)))
    assert any("stored as UINT8" in note for note in notes)
    assert any("0.0078125 x -1" in note for note in notes)


def interpreter(path: Path) -> tf.lite.Interpreter:
    if not hasattr(tf, "lite"):
        pytest.skip("this TensorFlow has no LiteRT interpreter")
    with warnings.catch_warnings():
        # That it moves to another package, and that keeping all tensors costs memory.
        warnings.simplefilter("ignore")
        made = tf.lite.Interpreter(str(path), experimental_preserve_all_tensors=True)
    made.allocate_tensors()
    return made


@pytest.mark.slow
def test_imagenet_file_against_its_interpreter(reference_data: Path) -> None:
    path = released(reference_data, IMAGENET)
    config, weights, *_ = read_litert(path)
    assert (config.num_classes, config.output_stride, config.depth_multiplier) == (None, 32, 1.0)
    assert all(name.startswith("backbone/") for name in weights)
    model = build_model(dataclasses.replace(config, num_classes=2))
    load_litert(model, path)
    run = intermediates(model)
    theirs = interpreter(path)
    (images,), features = (
        theirs.get_input_details(),
        match_graph(Graph(read_litert_file(path))).features,
    )
    details = {detail["index"]: detail for detail in theirs.get_tensor_details()}
    scale, zero_point = details[features]["quantization"]
    photos = sorted((reference_data / "data" / "photos").iterdir())
    for photo in photos:
        with Image.open(photo) as image:
            pixels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
        theirs.set_tensor(images["index"], pixels[None])
        theirs.invoke()
        expected = (theirs.get_tensor(features).astype(np.float32) - zero_point) * scale
        ours = run(pixels[None].astype(np.float32))["high_level"].numpy()
        # What is left is the rounding of activations to 8 bit.
        assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.99, photo.name
        assert np.sqrt(np.mean((ours - expected) ** 2)) < 0.13 * expected.std(), photo.name
    assert photos


def write_model_folder(folder: Path, path: Path, images: Path) -> None:
    model = imported(path)
    names = tuple(json.loads((images / "classes.json").read_text())["classes"])
    folder.mkdir()
    description = ModelDescription(
        config=model.model_config,
        class_names=names,
        colors=tuple((index, index, index) for index in range(len(names))),
        ignore_label=255,
        pad_value=(127.5, 127.5, 127.5),
        weights_source=path.name,
    )
    write_description(folder, description)
    save_checkpoint(folder / "checkpoints", 0, {"model": variables_by_path(model)}, keep=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "output_stride", "miou", "pixel_accuracy"),
    [
        (FLOAT, 8, 76.54, 95.64),
        (FLOAT, 16, 75.17, 95.31),
        (QUANTIZED, 16, 71.11, 94.48),
        (QUANTIZED, 8, 72.56, 94.76),
    ],
)
def test_mean_iou_of_released_files(
    name: str,
    output_stride: int,
    miou: float,
    pixel_accuracy: float,
    reference_data: Path,
    tmp_path: Path,
) -> None:
    images = reference_data / "data" / "voc46"
    write_model_folder(tmp_path / "model", released(reference_data, name), images)
    metrics = evaluate(
        model_dir=tmp_path / "model",
        images=images / "images",
        labels=images / "labels",
        pad_to=(513, 513),
        output_stride=output_stride,
        progress=False,
    )
    assert 100 * metrics["miou_present"] == pytest.approx(miou, abs=0.05)
    assert 100 * metrics["pixel_accuracy"] == pytest.approx(pixel_accuracy, abs=0.05)
