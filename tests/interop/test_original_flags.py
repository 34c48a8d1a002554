"""The original's command lines: how they are read, and the networks that they describe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import input_images, load_golden, model_settings, weight_rule

from deeplab.errors import DeepLabError
from deeplab.interop import import_weights, tf1
from deeplab.interop.tf1.flags import DEFAULTS, NETWORK_FLAGS, WITHOUT_EFFECT, parse_flags
from deeplab.interop.tf1.network import (
    VARIANTS,
    network_config,
    read_network_flags,
)
from deeplab.models import BACKBONES, ModelConfig

ROOT = Path(__file__).resolve().parents[2]


def config_of(flags: str, base_dir: Path | str = ".") -> ModelConfig:
    return network_config(read_network_flags(flags, base_dir).network)


# Reading


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--use_bounded_activation", {"use_bounded_activation": True}),
        ("--nouse_bounded_activation", {"use_bounded_activation": False}),
        ("--use_bounded_activation=1", {"use_bounded_activation": True}),
        ("--use_bounded_activation=False", {"use_bounded_activation": False}),
        ("--atrous_rates=6 --atrous_rates=12", {"atrous_rates": (6, 12)}),
        ("--multi_grid 1 --multi_grid 2", {"multi_grid": (1, 2)}),
        ("--output_stride=8 --output_stride=16", {"output_stride": 16}),
        ("--decoder_output_stride=8,4", {"decoder_output_stride": (8, 4)}),
        ("--decoder_output_stride=", {"decoder_output_stride": ()}),
        ("--vis_crop_size=513,769", {"crop_size": (513, 769)}),
        ("--eval_crop_size=513 --eval_crop_size=769", {"crop_size": (513, 769)}),
        ("--inference_scales=0.5 --inference_scales=1", {"eval_scales": (0.5, 1.0)}),
        ("-model_variant 'xception_65'", {"model_variant": "xception_65"}),
        ("--quantize_delay_step -1", {"quantize_delay_step": -1}),
        ("python deeplab/eval.py \\\n --logtostderr \\\n --num_classes=3", {"num_classes": 3}),
    ],
)
def test_flags_are_read_as_absl_reads_them(text: str, expected: dict[str, Any]) -> None:
    assert parse_flags(text).values == expected


def test_a_list_of_words_is_a_command_line() -> None:
    words = ["--model_variant=xception_41", "--train_logdir", "my runs", "--num_clones=2"]
    assert parse_flags(words) == ({"model_variant": "xception_41"}, ("train_logdir", "num_clones"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--outputstride=8", "no flag --outputstride; did you mean --output_stride?"),
        ("--zzzzzz", "no flag --zzzzzz, nor"),
        ("output_stride=8", "'output_stride=8' is not a flag"),
        ("--output_stride", "--output_stride has no value"),
        ("--output_stride --num_classes=3", "--output_stride has no value"),
        ("--output_stride=wide", "--output_stride cannot be 'wide'"),
        ("--add_image_level_feature=maybe", "--add_image_level_feature cannot be 'maybe'"),
        ("--model_variant='xception", "no closing quotation"),
        ("--model_variant=xception_66", "did you mean 'xception_65'"),
        ("--model_variant=resnet_50", "did you mean 'resnet_v1_50'"),
        ("--merge_method=median", "choices: avg, max"),
        ("--crop_size=513", "--crop_size is two numbers"),
        ("--image_pooling_crop_size=1,2,3", "--image_pooling_crop_size is two numbers"),
        ("--nas_use_classification_head", "--nas_use_classification_head"),
        ("--quantize_delay_step=0", "--quantize_delay_step=0"),
        ("--dense_prediction_cell_json=none.json", "none.json: no readable JSON"),
    ],
)
def test_a_bad_flag_is_named(text: str, message: str) -> None:
    with pytest.raises(DeepLabError, match="^[^\n]*$") as error:
        read_network_flags(text)
    assert message in str(error.value)


# Networks


def test_without_flags_the_defaults_hold() -> None:
    assert config_of("") == ModelConfig(
        "mobilenet_v2", num_classes=21, atrous_rates=(), decoder=False
    )


def test_every_backbone_has_a_variant() -> None:
    others = {"resnet_50_keras", "resnet_101_keras", "xception_41p", "xception_65p"}
    assert set(BACKBONES) - set(VARIANTS.values()) == others
    assert len(VARIANTS) == 15
    assert VARIANTS["resnet_v1_101_beta"] == "resnet_101_beta"
    assert VARIANTS["mobilenet_v3_small_seg"] == "mobilenet_v3_small"
    assert VARIANTS["nas_hnasnet"] == "hnasnet"


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ("--dataset=cityscapes", {"num_classes": 19}),
        ("--dataset=cityscapes --num_classes=3", {"num_classes": 3}),
        ("--dataset=of_my_own", {"num_classes": 21}),
        ("--crop_size=65,97", {"image_pooling_crop_size": None}),
        (
            "--crop_size=65,97 --image_pooling_crop_size=33,33",
            {"image_pooling_crop_size": (33, 33)},
        ),
        ("--aspp_with_squeeze_and_excitation", {"image_pooling_gate": "sigmoid"}),
        (
            "--aspp_with_squeeze_and_excitation --noadd_image_level_feature",
            {"image_pooling": False, "image_pooling_gate": None},
        ),
        ("--divisible_by=4", {"backbone_options": {"divisible_by": 4}}),
        ("--model_variant=mobilenet_v3_large_seg --divisible_by=4", {"backbone_options": {}}),
        ("--model_variant=xception_65 --nas_remove_os32_stride", {"backbone_options": {}}),
        (
            "--model_variant=nas_hnasnet --output_stride=8 --nas_remove_os32_stride "
            "--nas_stem_output_num_conv_filters=8",
            {"backbone_options": {"filters": 8, "remove_stride_32": True}},
        ),
        (
            "--decoder_output_stride=8,4 --nodecoder_use_separable_conv --decoder_filters=32",
            {
                "decoder": True,
                "decoder_strides": (8, 4),
                "decoder_separable": False,
                "decoder_channels": 32,
            },
        ),
        ("--decoder_use_sum_merge --decoder_filters=32", {"decoder": False}),
        ("--image_pyramid=0.5 --image_pyramid=1 --merge_method=avg", {"pyramid_merge": "mean"}),
        (
            "--noaspp_with_batch_norm --logits_kernel_size=3 --atrous_rates=6",
            {"aspp": False, "logits_kernel_size": 3},
        ),
    ],
)
def test_flags_become_fields(flags: str, fields: dict[str, Any]) -> None:
    config = config_of(flags)
    assert {name: getattr(config, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "--decoder_output_stride=4 --decoder_output_is_logits --decoder_filters=19",
            "--decoder_filters=19 and --num_classes=21 contradict each other",
        ),
        ("--logits_kernel_size=3", "logits_kernel_size must be 1"),
        ("--model_variant=nas_hnasnet", "hnasnet has no output_stride 16"),
        ("--multi_grid=1 --multi_grid=2 --multi_grid=4", "multi_grid of mobilenet_v2"),
        ("--model_variant=xception_65 --depth_multiplier=0.5", "has no depth_multiplier"),
        ("--model_variant=mobilenet_edgetpu --decoder_output_stride=4", "no feature for a decoder"),
        ("--decoder_output_stride=4,8", "decoder_strides must be falling"),
    ],
)
def test_contradictions_are_one_line(flags: str, message: str) -> None:
    with pytest.raises(DeepLabError, match="^[^\n]*$") as error:
        config_of(flags)
    assert message in str(error.value)


def test_a_cell_and_no_aspp_contradict_each_other(tmp_path: Path) -> None:
    rows = [{"op": "conv", "kernel": 3, "rate": [1, 6], "input": -1}]
    (tmp_path / "cell.json").write_text(json.dumps(rows))
    flags = "--dense_prediction_cell_json=cell.json"
    assert config_of(flags, tmp_path).dense_prediction_cell == ((3, (1, 6), -1),)
    with pytest.raises(DeepLabError, match="in the place of ASPP"):
        config_of(f"{flags} --noaspp_with_batch_norm", tmp_path)


def test_stored_command_lines(reference_data: Path) -> None:
    """Against a second reading of the flags, which knows those of the stored files alone."""
    folder = reference_data / "golden"
    command_lines = [load_golden(reference_data, p.stem) for p in folder.glob("*.json")]
    flags = [golden.facts["flags"] for golden in command_lines]
    lines = (folder / "multiply_adds_zoo_configs.jsonl").read_text().splitlines()
    flags += [json.loads(line)["flags"] for line in lines]
    assert len(flags) > 50
    for words in flags:
        network = read_network_flags(words, folder).network
        ours = network_config(network).to_dict()
        expected = ModelConfig(**model_settings(words, folder)).to_dict()
        # What the other head does not read.
        if expected["dense_prediction_cell"] or not expected["aspp"]:
            expected["image_pooling"] = False
        if expected["decoder_outputs_logits"]:
            expected["decoder_channels"] = 256
        assert ours == expected


def test_model_from_flags_has_the_crop_for_input() -> None:
    flags = "--depth_multiplier=0.25 --num_classes=3 --add_flipped_images --eval_scales=0.5"
    assert tf1.model_from_flags(flags).input.shape == (None, None, None, 3)
    model = tf1.model_from_flags(f"{flags} --crop_size=65,97")
    assert model.output.shape == (None, 65, 97, 3)


@pytest.mark.slow
def test_a_network_of_a_fixed_size_sees_all_scales(reference_data: Path, tmp_path: Path) -> None:
    golden = load_golden(reference_data, "mnv2_ms_os16_129")
    flags, prefix = golden.facts["flags"], str(tmp_path / "model.ckpt")
    weight_rule(golden.folder).write_checkpoint(golden.folder / "mnv2_ms_os16_129.json", prefix)
    model = tf1.model_from_flags(flags, golden.folder)
    import_weights(model, source="tf1", path=prefix)
    images = input_images(golden, reference_data)
    labels, probabilities = tf1.predict_labels(model, images, **tf1.protocol_from_flags(flags))
    step, expected = golden.facts["prob_stride"], golden.arrays["prob_strided"]
    difference = np.abs(probabilities.numpy()[:, ::step, ::step] - expected).max()
    assert difference / expected.std() < 2e-3
    assert (labels.numpy() == golden.arrays["predictions"]).mean() >= 0.999


def test_protocol_from_flags() -> None:
    assert tf1.protocol_from_flags("") == {
        "eval_scales": (1.0,),
        "flip": False,
        "upsample_logits": True,
    }
    flags = "--eval_scales=0.5 --eval_scales=1 --add_flipped_images"
    assert tf1.protocol_from_flags(f"{flags} --noprediction_with_upsampled_logits") == {
        "eval_scales": (0.5, 1.0),
        "flip": True,
        "upsample_logits": False,
    }


# Documentation


def test_every_flag_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "original_flags.md").read_text()
    names = (*NETWORK_FLAGS, *WITHOUT_EFFECT)
    assert len(names) > 80
    for name in names:
        assert f"`{name}`" in text, name


def test_every_network_flag_has_a_default_or_is_of_the_protocol() -> None:
    protocol = {"eval_scales", "add_flipped_images", "prediction_with_upsampled_logits"}
    assert NETWORK_FLAGS.keys() == {*DEFAULTS, *protocol, "dataset"}
