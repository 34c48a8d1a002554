"""Files of the original: names, what is recognized, what is loaded, and what does not fit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from golden import load_golden
from original_files import original_values, write_checkpoint, write_frozen_graph

import deeplab
from deeplab.interop import import_weights
from deeplab.interop.loading import Stored
from deeplab.interop.tf1.file import open_variables
from deeplab.interop.tf1.names import original_names
from deeplab.interop.tf1.network import network_config, read_network_flags
from deeplab.interop.tf1.recognize import recognize
from deeplab.models import DeepLabModel, ModelConfig, build_model, variables_by_path

SMALL = ModelConfig(
    "mobilenet_v2", num_classes=3, depth_multiplier=0.25, aspp_channels=8, decoder_channels=8
)
SLOTS: dict[str, Any] = {
    "global_step": np.int64(7),
    "logits/semantic/biases/Momentum": np.zeros(3, np.float32),
    "aspp0/weights/ExponentialMovingAverage": np.zeros(3, np.float32),
    "beta1_power": np.float32(0.9),
}


@pytest.fixture(scope="module")
def model() -> DeepLabModel:
    return build_model(SMALL)


@pytest.fixture(scope="module")
def values(model: DeepLabModel) -> dict[str, np.ndarray]:
    return original_values(model)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("backbone/conv/kernel", "MobilenetV2/Conv/weights"),
        (
            "backbone/expanded_conv_3/depthwise/kernel",
            "MobilenetV2/expanded_conv_3/depthwise/depthwise_weights",
        ),
        ("aspp/image_pooling/batch_norm/beta", "image_pooling/BatchNorm/beta"),
        ("aspp/conv1/depthwise/kernel", "aspp1_depthwise/depthwise_weights"),
        ("aspp/projection/kernel", "concat_projection/weights"),
        ("decoder/conv0/pointwise/kernel", "decoder/decoder_conv0_pointwise/weights"),
        ("logits/bias", "logits/semantic/biases"),
    ],
)
def test_names(model: DeepLabModel, path: str, name: str) -> None:
    assert original_names(model)[path] == name


# Recognizing


def stored(shapes: Mapping[str, tuple[int, ...]]) -> Stored:
    def read(name: str) -> np.ndarray:
        raise AssertionError(f"{name} is read, where its shape is enough")

    return Stored("file", dict(shapes), read)


def shapes_of(model: DeepLabModel) -> dict[str, tuple[int, ...]]:
    variables = variables_by_path(model)
    return {name: tuple(variables[path].shape) for path, name in original_names(model).items()}


def undecided(config: ModelConfig) -> ModelConfig:
    """The same network with what names and shapes cannot tell set to fixed values."""
    options = {k: v for k, v in config.backbone_options.items() if k != "remove_stride_32"}
    strides = {"hnasnet": 8, "pnasnet": config.output_stride}
    return dataclasses.replace(
        config,
        output_stride=strides.get(config.backbone, 16),
        atrous_rates=(1,) * len(config.resolved_atrous_rates),
        multi_grid=None,
        bounded_activation=False,
        backbone_options=options,
        image_pooling_crop_size=None,
        image_pooling_stride=(1, 1),
        image_pooling_gate=config.image_pooling_gate and "sigmoid",
        image_pyramid=(1.0,),
        pyramid_merge="max",
    )


def test_every_stored_configuration_is_recognized(reference_data: Path) -> None:
    paths = sorted((reference_data / "golden").glob("*.json"))
    assert len(paths) > 40
    for path in paths:
        golden = load_golden(reference_data, path.stem)
        file = stored({v["name"]: tuple(v["shape"]) for v in golden.facts["variables"]})
        flags = read_network_flags(golden.facts["flags"], golden.folder).network
        expected = network_config(flags)
        assert recognize(file, flags).config == expected, path.stem
        assert undecided(recognize(file, {}).config) == undecided(expected), path.stem


def slow(**fields: Any) -> Any:
    return pytest.param(fields, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "fields",
    [
        {"depth_multiplier": 0.35, "decoder_strides": (8,)},
        {"depth_multiplier": 0.75, "backbone_options": {"divisible_by": 16}},
        {"depth_multiplier": 1.4, "decoder": False, "aspp_separable": False},
        {"decoder_strides": (16, 8, 4), "aspp_projection": False},
        {"decoder_strides": (8, 4), "decoder_separable": False, "decoder_channels": 32},
        {"decoder_merge": "sum", "decoder_separable": False, "atrous_rates": ()},
        {"decoder_merge": "sum", "decoder_strides": (8, 4), "image_pooling_gate": "sigmoid"},
        {"aspp": False, "image_pooling": False, "atrous_rates": (), "decoder": False},
        {"aspp": False, "image_pooling": False, "atrous_rates": (6,), "logits_kernel_size": 3},
        {
            "dense_prediction_cell": deeplab.models.dense_prediction_cell.CITYSCAPES_CELL,
            "image_pooling": False,
            "atrous_rates": (),
        },
        {"backbone": "mobilenet_v3_small", "depth_multiplier": 0.75, "decoder_strides": (16,)},
        {"backbone": "mobilenet_edgetpu", "depth_multiplier": 0.5},
        {"backbone": "resnet_18_beta", "decoder_strides": (8,), "image_pooling": False},
        slow(backbone="hnasnet", output_stride=8, backbone_options={"filters": 8}),
        slow(backbone="pnasnet", output_stride=32, backbone_options={"filters": 8}),
        slow(backbone="pnasnet", output_stride=8, decoder_strides=(8,)),
    ],
)
def test_names_and_shapes_tell_the_network(fields: dict[str, Any]) -> None:
    config = ModelConfig(**{"backbone": "mobilenet_v2", "num_classes": 5, **fields})
    config = dataclasses.replace(config, decoder=bool(config.resolved_decoder_strides))
    if not config.decoder:
        config = dataclasses.replace(config, decoder_strides=(4,))
    found = recognize(stored(shapes_of(build_model(config))), {}).config
    assert undecided(found) == undecided(config)


def test_what_cannot_be_told_is_assumed_and_said(model: DeepLabModel) -> None:
    file = stored(shapes_of(model))
    recognized = recognize(file, {})
    assert recognized.config.resolved_atrous_rates == (6, 12, 18)
    assert recognized.lines[0] == (
        "found --model_variant=mobilenet_v2 --num_classes=3 --depth_multiplier=0.25 "
        "--aspp_convs_filters=8 --decoder_output_stride=4 --decoder_filters=8"
    )
    said = [line.split(":")[0] for line in recognized.lines[1:]]
    assert said == [
        "assumed --output_stride=16",
        "assumed --atrous_rates=6,12,18",
        "assumed --image_pooling_crop_size=none",
        "assumed --image_pyramid=1",
        "assumed --use_bounded_activation=false",
    ]
    flags = {
        "output_stride": 8,
        "image_pooling_crop_size": (65, 65),
        "use_bounded_activation": True,
    }
    recognized = recognize(file, flags)
    assert recognized.config.atrous_rates == (12, 24, 36)
    assert recognized.config.image_pooling_crop_size == (65, 65)
    assert recognized.config.bounded_activation
    said = [line.split(":")[0] for line in recognized.lines[1:]]
    assert "assumed --output_stride=16" not in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--model_variant=xception_65", "says mobilenet_v2 (the scope MobilenetV2)"),
        ("--depth_multiplier=0.5", "the widths of the file (MobilenetV2/Conv/weights [3, 3, 3, 8]"),
        ("--atrous_rates=6", "says 3 of them (aspp3_depthwise/depthwise_weights [3, 3, 80, 1])"),
        ("--noadd_image_level_feature", "says true (image_pooling/weights [1, 1, 80, 8])"),
        ("--decoder_output_stride=8", "says 4 (decoder/feature_projection0/weights [1, 1, 40"),
        ("--decoder_filters=16", "says 8 (decoder/decoder_conv0_pointwise/weights"),
        ("--num_classes=21", "says 3 (logits/semantic/biases [3]); --skip=logits"),
        ("--decoder_use_sum_merge", "says false"),
        ("--noaspp_with_batch_norm", "says true (aspp0/weights [1, 1, 80, 8])"),
    ],
)
def test_flags_that_contradict_the_file(model: DeepLabModel, flags: str, message: str) -> None:
    given = read_network_flags(flags).network
    with pytest.raises(deeplab.DeepLabError, match="^file: [^\n]*$") as error:
        recognize(stored(shapes_of(model)), given)
    assert flags.removeprefix("--no").split("=")[0] in str(error.value)
    assert message in str(error.value)


def test_files_that_are_no_network_of_ours(model: DeepLabModel) -> None:
    shapes = shapes_of(model)
    backbone = {name: s for name, s in shapes.items() if name.startswith("MobilenetV2/")}
    cell = "meta_architecture/branch0_depthwise/depthwise_weights"
    bad: list[tuple[dict[str, tuple[int, ...]], str]] = [
        ({}, "none of its 0 variables is in a scope"),
        ({"vgg_16/conv1/weights": (3, 3, 3, 64)}, "of which the first is vgg_16/conv1/weights"),
        ({**shapes, "xception_65/x": (1,)}, "several backbones: MobilenetV2, xception_65"),
        (backbone, "no head among the variables"),
        ({**shapes, "MobilenetV2/Conv/weights": (3, 3, 3, 9)}, "follow from no depth multiplier"),
        ({"MobilenetV2/Conv/weights": (3, 3, 3, 8)}, "expanded_conv/project/weights is missing"),
        ({"MobilenetV3/expanded_conv_9/x": (1,)}, "ends with expanded_conv_9"),
        ({"hnasnet/conv0/weights": (3, 3, 3, 64)}, "hnasnet/cell_0/1x1/weights is missing"),
        (
            {**shapes, "decoder/feature_projection0/weights": (1, 1, 37, 48)},
            "no decoder of this backbone reads",
        ),
        (
            {**shapes, "meta_architecture/concat_projection/weights": (1,), cell: (3, 3, 80, 1)},
            "has 1 branches (3x3), which is not the released one",
        ),
    ]
    for content, message in bad:
        with pytest.raises(deeplab.DeepLabError, match="^file[^\n]*$") as error:
            recognize(stored(content), {})
        assert message in str(error.value)


# Loading


def test_loads_and_reports(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    model = build_model(SMALL)
    prefix = write_checkpoint(tmp_path / "model.ckpt", {**values, **SLOTS})
    for suffix in ("", ".index", ".data-00000-of-00001"):
        report = import_weights(model, source="tf1", path=prefix + suffix)
    assert report.loaded.keys() == values.keys()
    assert report.ignored.keys() == SLOTS.keys()
    assert not report.missing and not report.unused
    check_loaded(model, values)


def check_loaded(model: DeepLabModel, values: Mapping[str, np.ndarray]) -> None:
    names = original_names(model)
    for path, variable in variables_by_path(model).items():
        np.testing.assert_array_equal(variable, values[names[path]])


def test_a_frozen_graph_is_as_good_as_a_checkpoint(
    values: dict[str, np.ndarray], tmp_path: Path
) -> None:
    model = build_model(SMALL)
    path = write_frozen_graph(tmp_path / "frozen_inference_graph.pb", values)
    report = import_weights(model, source="tf1", path=path)
    assert report.loaded.keys() == values.keys()
    check_loaded(model, values)


def test_a_part_can_be_skipped(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    prefix = write_checkpoint(tmp_path / "model.ckpt", values)
    model = build_model(dataclasses.replace(SMALL, num_classes=7))
    with pytest.raises(deeplab.DeepLabError, match=r"the model needs \[1, 1, 8, 7\]"):
        import_weights(model, source="tf1", path=prefix)
    report = import_weights(model, source="tf1", path=prefix, skip=["logits"])
    assert report.missing == {
        "logits/semantic/weights": (1, 1, 8, 7),
        "logits/semantic/biases": (7,),
    }
    assert report.unused.keys() == report.missing.keys()
    assert len(report.loaded) == len(values) - 2
    with pytest.raises(deeplab.DeepLabError, match="'logit'; did you mean 'logits'"):
        import_weights(model, source="tf1", path=prefix, skip=["logit"])


@pytest.mark.slow
def test_skipping_logits_that_a_decoder_gives(tmp_path: Path) -> None:
    settings = {**deeplab.models.backbones.mobilenet_v3.LITE_HEAD, "output_stride": 32}
    lite = ModelConfig("mobilenet_v3_small", num_classes=3, depth_multiplier=0.25, **settings)
    prefix = write_checkpoint(tmp_path / "m", original_values(build_model(lite)))
    found = recognize(open_variables(prefix), {}, skip=["logits"], num_classes=5).config
    assert found == dataclasses.replace(lite, num_classes=5)
    report = import_weights(build_model(found), source="tf1", path=prefix, skip=["logits"])
    assert {name.split("/")[0] for name in report.missing} == {"decoder"}


def test_the_backbone_of_a_classifier(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    backbone = {name: v for name, v in values.items() if name.startswith("MobilenetV2/")}
    rest = {
        "MobilenetV2/Conv_1/weights": np.zeros((1, 1, 80, 1280), np.float32),
        "MobilenetV2/Conv_1/BatchNorm/gamma": np.ones(1280, np.float32),
        "MobilenetV2/Logits/Conv2d_1c_1x1/biases": np.zeros(1001, np.float32),
        "MobilenetV2/Conv/weights/RMSProp_1": np.zeros(1, np.float32),
        "global_step": np.int64(7),
    }
    prefix = write_checkpoint(tmp_path / "model.ckpt", {**backbone, **rest})
    found = recognize(open_variables(prefix), {}, backbone_only=True, num_classes=4)
    assert found.config.depth_multiplier == 0.25
    assert found.config.resolved_decoder_strides == (4,)
    model = build_model(found.config)
    report = import_weights(model, source="tf1", path=prefix, backbone_only=True)
    assert report.loaded.keys() == backbone.keys()
    assert report.ignored.keys() == rest.keys()
    assert all(not name.startswith("MobilenetV2/") for name in report.missing)

    odd = {**backbone, "MobilenetV2/expanded_conv_99/project/weights": np.zeros(1, np.float32)}
    prefix = write_checkpoint(tmp_path / "odd", odd)
    with pytest.raises(deeplab.DeepLabError, match="1 unused variables, .*expanded_conv_99"):
        import_weights(model, source="tf1", path=prefix, backbone_only=True)


def test_the_last_convolution_of_a_narrow_classifier_has_its_own_width(tmp_path: Path) -> None:
    config = ModelConfig("mobilenet_edgetpu", num_classes=2, depth_multiplier=0.75)
    values = original_values(build_model(config))
    values = {name: v for name, v in values.items() if name.startswith("MobilenetEdgeTPU/")}
    wide = {
        name: np.zeros((*v.shape[:-1], 1280), np.float32)
        for name, v in values.items()
        if "/Conv_1/" in name
    }
    prefix = write_checkpoint(tmp_path / "model.ckpt", {**values, **wide})
    found = recognize(open_variables(prefix), {}, backbone_only=True).config
    assert found.depth_multiplier == 0.75
    report = import_weights(build_model(found), source="tf1", path=prefix, backbone_only=True)
    assert report.ignored.keys() == wide.keys() <= report.missing.keys()
    assert len(report.loaded) == len(values) - len(wide)


# What does not fit


def test_nothing_is_loaded_when_something_does_not_fit(
    model: DeepLabModel, values: dict[str, np.ndarray], tmp_path: Path
) -> None:
    before = model.get_weights()
    nan = np.full(values["logits/semantic/biases"].shape, np.nan, np.float32)
    whole = values["aspp0/weights"].astype(np.int32)
    wrong = {
        "missing": {k: v for k, v in values.items() if k != "aspp0/weights"},
        "unused": {**values, "aspp7/weights": np.zeros((1, 1), np.float32)},
        "shape": {**values, "logits/semantic/biases": np.zeros(21, np.float32)},
        "value": {**values, "logits/semantic/biases": nan},
        "type": {**values, "aspp0/weights": whole},
    }
    messages = {
        "missing": "1 missing variables, aspp0/weights",
        "unused": "1 unused variables, aspp7/weights",
        "shape": "logits/semantic/biases has the shape [21], the model needs [3]",
        "value": "logits/semantic/biases holds values that are no finite numbers",
        "type": "aspp0/weights holds int32 instead of float32",
    }
    for kind, content in wrong.items():
        prefix = write_checkpoint(tmp_path / kind, content)
        with pytest.raises(deeplab.DeepLabError, match="^[^\n]*$") as error:
            import_weights(model, source="tf1", path=prefix)
        assert messages[kind] in str(error.value)
    for ours, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_files_that_cannot_be_read(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    prefix = write_checkpoint(tmp_path / "model.ckpt", values)
    data = Path(f"{prefix}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:1000])
    model = build_model(SMALL)
    with pytest.raises(deeplab.DeepLabError, match="missing, incomplete or damaged"):
        import_weights(model, source="tf1", path=prefix)
    data.unlink()
    with pytest.raises(deeplab.DeepLabError):
        import_weights(model, source="tf1", path=prefix)

    (tmp_path / "empty").mkdir()
    (tmp_path / "text.index").write_text("not a table\n")
    for path, message in (
        (tmp_path / "nothing", "no readable TensorFlow checkpoint"),
        (tmp_path / "text", "no readable TensorFlow checkpoint"),
        (tmp_path, f"is a folder; expected the prefix of a checkpoint, such as {tmp_path}"),
        (tmp_path / "empty", "of which there is none"),
        (tmp_path / "model.tar.gz", "unpack it first"),
    ):
        with pytest.raises(deeplab.DeepLabError, match="^[^\n]*$") as error:
            open_variables(path)
        assert message in str(error.value)
    with pytest.raises(deeplab.DeepLabError, match="unknown source 'tf2'"):
        import_weights(model, source="tf2", path="x")


def test_graphs_that_cannot_be_read(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    folded = {n: v for n, v in values.items() if not n.endswith(("gamma", "beta", "variance"))}
    (tmp_path / "text.pb").write_text(json.dumps({"no": "graph"}))
    (tmp_path / "empty.pb").write_bytes(b"")
    huge = tf.compat.v1.GraphDef()
    node = huge.node.add(name="a/moving_variance", op="Const")
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.ones(2, np.float32)))
    node.attr["value"].tensor.tensor_shape.dim[0].size = 10**12
    (tmp_path / "huge.pb").write_bytes(huge.SerializeToString())
    for path, message in (
        (write_frozen_graph(tmp_path / "folded.pb", folded), "batch norm was folded"),
        (write_frozen_graph(tmp_path / "none.pb", {}), "no constant of the graph"),
        (tmp_path / "text.pb", "no frozen graph"),
        (tmp_path / "empty.pb", "it has no nodes"),
        (tmp_path / "nothing.pb", "No such file"),
        (tmp_path / "huge.pb", "impossible sizes"),
    ):
        with pytest.raises(deeplab.DeepLabError, match="^[^\n]*$") as error:
            open_variables(path)
        assert message in str(error.value)
