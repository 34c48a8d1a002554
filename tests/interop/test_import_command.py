"""`deeplab import`: from a file to a model folder that the other commands use."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from golden import input_images, load_golden, weight_rule
from original_files import original_values, write_checkpoint, write_frozen_graph

import deeplab
from deeplab.cli import import_, model_folder
from deeplab.cli import main as cli
from deeplab.data import DATASETS
from deeplab.interop import SOURCES, import_model
from deeplab.interop.loading import PARTS
from deeplab.model_dir import load_model, read_description
from deeplab.models import ModelConfig, build_model, variables_by_path

SMALL = ModelConfig("mobilenet_v2", num_classes=3, depth_multiplier=0.25, aspp_channels=8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of a small network, as training leaves it."""
    values = original_values(build_model(SMALL))
    values["global_step"] = np.int64(30000)
    values["logits/semantic/biases/Momentum"] = np.zeros(3, np.float32)
    return write_checkpoint(tmp_path_factory.mktemp("original") / "model.ckpt", values)


def run(checkpoint: str, model_dir: Path, *flags: str) -> int:
    arguments = [f"--checkpoint={checkpoint}", f"--model_dir={model_dir}", *flags]
    return cli.main(["import", "--source=tf1", *arguments])


def test_choices_are_those_of_the_library() -> None:
    assert sorted(model_folder.SOURCES) == sorted(SOURCES)
    assert sorted(import_.PARTS) == sorted(PARTS)


def test_makes_a_model_folder(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_dir = tmp_path / "new" / "model"
    assert run(checkpoint, model_dir, "--original_flags=--output_stride=8 --logtostderr") == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "found --model_variant=mobilenet_v2 --num_classes=3 --depth_multiplier=0.25" in output
    assert "assumed --atrous_rates=12,24,36: " in output
    assert "--logtostderr" in output
    assert re.search(r"^missing.*: 0 variables", output, re.MULTILINE)
    assert "\nunused: 0 variables, 0 numbers\n" in output
    assert "\nignored: 2 variables, 4 numbers:\n" in output
    assert "\n  logits/semantic: weights [1, 1, 256, 3], biases [3]\n" in output

    assert sorted(p.name for p in model_dir.iterdir()) == [
        "checkpoints",
        "import.json",
        "model.json",
    ]
    description = read_description(model_dir)
    assert description.config.output_stride == 8
    assert description.class_names == ("class_00", "class_01", "class_02")
    assert description.pad_value == (127.5, 127.5, 127.5)
    assert description.weights_source == f"tf1 {checkpoint}"
    assert description.training is None
    report = json.loads((model_dir / "import.json").read_text())
    assert report["loaded"]["logits/semantic/biases"] == [3]
    assert report["ignored"].keys() == {"global_step", "logits/semantic/biases/Momentum"}
    assert any("assumed --atrous_rates=12,24,36" in note for note in report["notes"])

    reference = build_model(SMALL)
    deeplab.import_weights(reference, source="tf1", path=checkpoint)
    images = np.random.default_rng(1).uniform(0, 255, (1, 65, 65, 3)).astype(np.float32)
    again = load_model(model_dir, output_stride=16)
    np.testing.assert_array_equal(again(images), reference(images))


def test_class_names_of_a_data_set(tmp_path: Path) -> None:
    camvid = DATASETS["camvid"]
    config = ModelConfig("mobilenet_v2", num_classes=11, depth_multiplier=0.25, decoder=False)
    prefix = write_checkpoint(tmp_path / "m", original_values(build_model(config)))
    import_model(source="tf1", checkpoint=prefix, model_dir=tmp_path / "d", dataset="camvid")
    description = read_description(tmp_path / "d")
    assert description.class_names == camvid.class_names
    assert description.colors == camvid.colors


def test_other_classes_with_fresh_logits(checkpoint: str, tmp_path: Path) -> None:
    assert run(checkpoint, tmp_path / "a", "--dataset=camvid", "--skip=logits") == 0
    assert read_description(tmp_path / "a").config.num_classes == 11
    missing = json.loads((tmp_path / "a" / "import.json").read_text())["missing"]
    assert missing.keys() == {"logits/semantic/weights", "logits/semantic/biases"}
    assert run(checkpoint, tmp_path / "b", "--num_classes=9", "--backbone_only") == 0
    report = json.loads((tmp_path / "b" / "import.json").read_text())
    parts = {path.split("/")[0] for path in variables_by_path(load_model(tmp_path / "b"))}
    assert set(report["fresh_parts"]) == parts - {"backbone"}
    assert read_description(tmp_path / "b").config.num_classes == 9


@pytest.mark.slow
def test_151_classes_are_those_of_ade20k(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ModelConfig("mobilenet_v2", num_classes=151, depth_multiplier=0.25, decoder=False)
    path = write_frozen_graph(tmp_path / "m.pb", original_values(build_model(config)))
    assert run(path, tmp_path / "d") == 0
    assert "class 0" in capsys.readouterr().out
    assert read_description(tmp_path / "d").class_names[150] == "class_150"


@pytest.mark.slow
def test_the_flags_of_our_own_stride(checkpoint: str, tmp_path: Path) -> None:
    flags = "--output_stride=16 --atrous_rates=4 --atrous_rates=8 --atrous_rates=12"
    report = import_model(
        source="tf1",
        checkpoint=checkpoint,
        model_dir=tmp_path / "d",
        original_flags=flags,
        output_stride=8,
    )
    config = read_description(tmp_path / "d").config
    assert (config.output_stride, config.atrous_rates) == (8, (8, 16, 24))
    assert not any("atrous_rates" in note for note in report.notes)
    import_model(source="tf1", checkpoint=checkpoint, model_dir=tmp_path / "e", output_stride=8)
    config = read_description(tmp_path / "e").config
    assert (config.output_stride, config.atrous_rates) == (8, (12, 24, 36))


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--num_classes=5"], 1, "has 3 classes, but --num_classes is 5; --skip=logits"),
        (["--dataset=camvid"], 1, "has 3 classes, but --dataset=camvid has 11"),
        (["--dataset=camvi"], 1, "unknown data set 'camvi'; did you mean 'camvid'"),
        (["--dataset=folder"], 1, "--dataset=folder has no class names"),
        (["--dataset=camvid", "--num_classes=5"], 1, "but --dataset=camvid has 11 classes"),
        (["--original_flags=--outputstride=8"], 1, "did you mean --output_stride?"),
        (["--source=timm", "--original_flags=--x"], 1, "for the sources model_zoo and tf1"),
        (["--original_flags=--model_variant=xception_65"], 1, "which says mobilenet_v2"),
        (["--original_flags=--num_classes=4"], 1, "--num_classes=4 contradicts the file"),
        (["--skip=logit"], 2, "did you mean 'logits'?"),
        (["--skip=logits,"], 2, "--skip=: choices"),
        (["--source=tf2"], 2, "litert, model_zoo, tf1, timm"),
        (["--output_stride=4"], 2, "choices: 8, 16, 32"),
        (["--num_classes=1"], 2, "--num_classes"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    checkpoint: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    flags: list[str],
    code: int,
    message: str,
) -> None:
    assert run(checkpoint, tmp_path / "new" / "model", *flags) == code
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.count("\n") == 1
    assert message in errors
    assert not (tmp_path / "new").exists()


def test_damaged_files_leave_nothing(checkpoint: str, tmp_path: Path) -> None:
    folder = tmp_path / "original"
    folder.mkdir()
    for path in Path(checkpoint).parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    data = folder / "model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:5000])
    for path in ("model.ckpt", "nothing.ckpt", "", "nothing.pb"):
        with pytest.raises(deeplab.DeepLabError, match="^[^\n]*$"):
            import_model(
                source="tf1", checkpoint=str(folder / path), model_dir=tmp_path / "new" / "model"
            )
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_left_alone(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert run(checkpoint, tmp_path) == 1
    assert str(tmp_path) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_will_do(checkpoint: str, tmp_path: Path) -> None:
    assert run(checkpoint, tmp_path / ".") == 0


# Networks of the original


def test_a_network_of_the_original_without_flags(reference_data: Path, tmp_path: Path) -> None:
    check_import(reference_data, "mnv2_dm05_os16_129", tmp_path, with_flags=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "with_flags"),
    [
        ("edgetpu_os32_129", True),
        ("hnasnet_rm32_os8_129", True),
        ("mnv2_pyramid_max_os16_129", True),
        ("mnv3large_os32_769", False),
        ("mnv3small_os16_257x385", True),
        ("pnasnet_os16_129", False),
        ("r101beta_mg124_os16_129", True),
        ("r18_os16_129", False),
        ("r50_os16_129", False),
        ("xc41_nodecoder_os16_129", False),
        ("xc41_noimage_os16_129", False),
        ("xc41_summerge_os16_129", False),
        ("xc41_v2style_os16_129", False),
        ("xc65_bounded_os16_129", True),
        ("xc65_os8_129", True),
        ("xc71_dpc_os16_129x257", False),
    ],
)
def test_networks_of_the_original(
    reference_data: Path, name: str, tmp_path: Path, with_flags: bool
) -> None:
    check_import(reference_data, name, tmp_path, with_flags=with_flags)


def check_import(reference: Path, name: str, folder: Path, *, with_flags: bool) -> None:
    """Writes the checkpoint of a stored configuration, imports it, and compares the logits."""
    golden = load_golden(reference, name)
    prefix = folder / "model.ckpt"
    weight_rule(golden.folder).write_checkpoint(golden.folder / f"{name}.json", str(prefix))
    flags = " ".join(golden.facts["flags"]) if with_flags else ""
    report = import_model(
        source="tf1", checkpoint=str(prefix), model_dir=folder / "model", original_flags=flags
    )
    for path in folder.glob("model.ckpt.*"):
        path.unlink()  # they are large
    assert list(report.ignored) == ["global_step"]
    assert not report.missing and not report.unused

    model = load_model(folder / "model")
    outputs = deeplab.intermediates(model)(input_images(golden, reference))
    step = golden.facts["logits_stride_stored"]
    logits = outputs["logits_low_resolution"].numpy()[:, ::step, ::step]
    expected = golden.arrays["logits"]
    assert np.abs(logits - expected).max() / expected.std() < 2e-3
    for path in (folder / "model" / "checkpoints").iterdir():
        path.unlink()
