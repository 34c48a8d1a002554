"""gin: every mistake is one line that names the place, the value and what was meant."""

from __future__ import annotations

import os
from pathlib import Path

import gin
import pytest

from deeplab.configuration import (
    find_gin_file,
    package_gin_folder,
    read_configuration,
    read_data_config,
)
from deeplab.errors import DeepLabError

RUN = "runs/shapes_mobilenet_v2.gin"


def message_of(gin_files: list[str], gin_bindings: list[str]) -> str:
    """The one line that a bad configuration is refused with."""
    with pytest.raises(DeepLabError) as caught:
        read_configuration(gin_files, gin_bindings)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        ("BACKBONE=xception_65", "BACKBONE='xception_65'"),
        ("DATASET=a/b-c", "DATASET='a/b-c'"),
        ("ModelConfig.decoder=true", "write ModelConfig.decoder=True"),
        ("BACKBONE='xcep_65'", "unknown backbone 'xcep_65'; did you mean 'xception_65'?"),
        ("DATASET='camvit'", "did you mean 'camvid'?"),
        ("OPTIMIZER='adam'", "did you mean 'adamw'?"),
        ("OUTPUT_STRIDE='8'", "not '8'"),
        ("OUTPUT_STRIDE=12", "not 12"),
        ("TRAIN_STEPS='3'", "train_steps"),
        ("TRAIN_STEPS=3.5", "train_steps"),
        ("TRAIN_STEPS=0", "train_steps"),
        ("CROP_SIZE='160'", "crop_size"),
        ("GLOBAL_BATCH_SIZE=None", "global_batch_size"),
        ("BASE_LEARNING_RATE='fast'", "base_learning_rate"),
        ("DROPOUT_RATE=1.5", "dropout_rate"),
        ("CHECKPOINT_STEPS=-1", "checkpoint_steps"),
        ("EVAL_STEPS=-1", "eval_steps"),
        ("SEED='x'", "seed"),
        ("NUM_CLASSES=1", "num_classes"),
        ("TRAIN_STEP=3", "unknown macro 'TRAIN_STEP'; did you mean 'TRAIN_STEPS'?"),
        ("ModelConfg.decoder=True", "unknown gin name 'ModelConfg'; did you mean 'ModelConfig'?"),
        ("ModelConfig.decodr=True", "did you mean 'decoder'?"),
        ("TrainConfig.model=@ModelConfg()", "did you mean 'ModelConfig'?"),
        ("TrainConfig.model=@ModelConfig", "write @ModelConfig()"),
        ("TrainConfig.model=@DataConfig()", "model"),
        ("TrainConfig.seed=%SEEED", "unknown macro 'SEEED'; did you mean 'SEED'?"),
        ("x/SEED=3", "x/SEED"),
        ("x/ModelConfig.decoder=False", "x/ModelConfig"),
        ("TrainConfig.loss='dice'", "loss must be a LossConfig, not 'dice'"),
        ("LossConfig.terms={'dise': 1.0}", "unknown loss 'dise'; did you mean 'dice'?"),
        ("LossConfig.focal_gamma=2.0", "focal_gamma is 2.0"),
        ("LossConfig.class_weights=(1, 2)", "class_weights has 2 numbers"),
        ("gin.macro.value=3", "unknown gin name 'gin.macro'"),
        ("import os", "import os"),
        ("TRAIN_STEPS=60k", "cannot read 'TRAIN_STEPS=60k'"),
        ("TRAIN_STEPS=", "cannot read"),
        ("TRAIN_STEPS", "cannot read"),
        ("BACKBONE='x", "cannot read"),
        ("CROP_SIZE=(3", "cannot read"),
        ("include 'baze.gin'", "did you mean 'base.gin'?"),
        ("TRAIN_STEPS=%gin.REQUIRED", "TRAIN_STEPS must be set"),
    ],
)
def test_a_bad_binding(binding: str, expected: str) -> None:
    assert expected in message_of([RUN], [binding])


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("\nTRAIN_STEP = 3\n", 2, "did you mean 'TRAIN_STEPS'?"),
        ("\n\nModelConfig.decodr = 3\n", 3, "did you mean 'decoder'?"),
        ("ModelConfig:\n    decodr = 3\n", 2, "did you mean 'decoder'?"),
        ("ModelConfg:\n    decoder = 3\n", 1, "did you mean 'ModelConfig'?"),
        ("\nBACKBONE = xception_65\n", 2, "'xception_65'"),
        ("\ninclude 'baze.gin'\n", 2, "did you mean 'base.gin'?"),
        ("import there_is_no_such_module\n", 1, "there_is_no_such_module"),
        ("  TRAIN_STEPS = 3\n SEED = 3\n", 2, "cannot read"),
    ],
)
def test_a_bad_statement_is_named_with_file_and_line(
    text: str, line: int, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.gin"
    path.write_text(text)
    message = message_of([RUN, str(path)], [])
    assert message.startswith(f"{path}, line {line}: ")
    assert expected in message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_statement(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.gin"
    path.write_text(f"include '{RUN}'\r\nTRAIN_STEPS = 5  # é\n", encoding=encoding)
    assert read_configuration([str(path)]).train.train_steps == 5


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    binary, loop, alone = (tmp_path / f"{name}.gin" for name in ("binary", "loop", "alone"))
    binary.write_bytes(b"\xff\xfe")
    loop.write_text(f"include '{loop}'\n")
    alone.write_text("TRAIN_STEPS = 3\n")
    assert "not a text file" in message_of([str(binary)], [])
    assert "includes itself" in message_of([str(loop)], [])
    assert "include 'base.gin'" in message_of([str(alone)], [])
    assert "BACKBONE must be set" in message_of(["base.gin"], [])
    assert "is a folder" in message_of([str(tmp_path)], [])
    assert "there is no gin file" in message_of([str(tmp_path / "none.gin")], [])
    missing = message_of(["runs/shape_mobilenet_v2.gin"], [])
    assert "did you mean 'runs/shapes_mobilenet_v2.gin'?" in missing
    assert "runs/camvid_mobilenet_v2.gin" in missing
    assert "base.gin" not in missing


def test_number_of_classes_must_be_that_of_the_data_set() -> None:
    message = message_of(["runs/camvid_mobilenet_v2.gin"], ["NUM_CLASSES=21"])
    assert "21" in message
    assert "11" in message


def test_a_macro_on_the_command_line_never_goes_without_effect(tmp_path: Path) -> None:
    path = tmp_path / "mine.gin"
    path.write_text(f"include '{RUN}'\nTrainConfig.train_steps = 5\n")
    assert read_configuration([str(path)]).train.train_steps == 5
    assert "TRAIN_STEPS has no effect" in message_of([str(path)], ["TRAIN_STEPS=7"])


def test_own_macros() -> None:
    bindings = ["MINE=7", "TrainConfig.seed=%MINE"]
    assert read_configuration([RUN], bindings).train.seed == 7


def test_later_files_and_bindings_win() -> None:
    files = [RUN, "dataset/camvid.gin"]
    train = read_configuration(files, ["TRAIN_STEPS=1", "TRAIN_STEPS=2"]).train
    assert train.data.dataset == "camvid"
    assert train.train_steps == 2


def test_both_saved_texts_give_the_same_configuration_again(tmp_path: Path) -> None:
    # An overridden use leaves a macro that nothing uses in config.gin.
    bindings = ["TRAIN_STEPS=60", "ModelConfig.dropout_rate=0.3"]
    first = read_configuration([RUN], bindings)
    (tmp_path / "config.gin").write_text(first.config_text)
    second = read_configuration([], from_model_dir=tmp_path)
    assert second.train == first.train
    assert second.config_text == first.config_text
    (tmp_path / "config.gin").write_text(first.operative_text)
    third = read_configuration([], from_model_dir=tmp_path)
    assert third.train == first.train
    assert third.operative_text == first.operative_text


def test_a_sum_of_losses(tmp_path: Path) -> None:
    bindings = [
        "LossConfig.terms={'softmax_cross_entropy': 1.0, 'dice': %DICE}",
        "DICE=0.5",
        "LossConfig.class_weights=[1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
    ]
    first = read_configuration(["runs/camvid_mobilenet_v2.gin"], bindings)
    assert first.train.loss.terms == {"softmax_cross_entropy": 1.0, "dice": 0.5}
    assert first.train.loss.class_weights == (1.0, 2.0, *[1.0] * 9)
    for text in (first.config_text, first.operative_text):
        (tmp_path / "config.gin").write_text(text)
        assert read_configuration([], from_model_dir=tmp_path).train == first.train


def test_bindings_override_a_saved_configuration_and_typos_in_them_are_found(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.gin").write_text(read_configuration([RUN]).config_text)
    changed = read_configuration([], ["TRAIN_STEPS=61"], from_model_dir=tmp_path)
    assert changed.train.train_steps == 61
    with pytest.raises(DeepLabError, match="did you mean 'TRAIN_STEPS'"):
        read_configuration([], ["TRAIN_STEP=61"], from_model_dir=tmp_path)


def test_a_saved_configuration_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = read_configuration([RUN]).config_text
    for statement in ("import evil", "from evil import x", "import evil as y"):
        (tmp_path / "config.gin").write_text(f"{statement}\n{text}")
        with pytest.raises(DeepLabError, match="refused"):
            read_configuration([], from_model_dir=tmp_path)


def test_data_config_of_a_run_and_of_a_data_set_alone() -> None:
    assert read_data_config(["runs/camvid_mobilenet_v2.gin"]).crop_size != 513
    assert read_data_config(["dataset/camvid.gin"]).dataset == "camvid"
    with pytest.raises(DeepLabError, match="DATASET must be set"):
        read_data_config([])


def test_the_working_directory_is_searched_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_gin_file(RUN) == package_gin_folder() / RUN
    own = tmp_path / RUN
    own.parent.mkdir()
    own.write_text("")
    assert os.path.samefile(find_gin_file(RUN), own)


def test_nothing_stays_in_gin() -> None:
    read_configuration([RUN])
    assert "TRAIN_STEPS" not in gin.config_str()
    message_of([RUN], ["OUTPUT_STRIDE=12"])
    assert "TRAIN_STEPS" not in gin.config_str()
    assert not gin.config_is_locked()
