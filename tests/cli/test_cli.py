"""The command line: help, exit codes, one line for each mistake, nothing left behind."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from command_line import Refused

import deeplab
from deeplab.cli import export, shared_flags, train
from deeplab.cli import main as cli
from deeplab.cli.command import Command, UsageError
from deeplab.errors import DeepLabError, Terminated
from deeplab.export import FORMATS as EXPORT_FORMATS
from deeplab.progress import track
from deeplab.stderr import stderr_held_back
from deeplab.table import class_table
from deeplab.training.distribution import cluster, strategies

RUN = "--gin_file=runs/shapes_mobilenet_v2.gin"


@pytest.fixture
def fake_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], int]], None]:
    """Adds a command "fake" without flags that does what it is given."""

    def add(work: Callable[[], int]) -> None:
        command = Command("fake", "Fake.", "deeplab fake", (), lambda _: work())
        monkeypatch.setitem(cli.COMMANDS, "fake", command)

    return add


# Help


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    output, errors = capsys.readouterr()
    assert all(command.summary in output for command in cli.COMMANDS.values())
    assert errors == ""


def test_the_version_and_that_help_tells_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr() == (f"deeplab {deeplab.__version__}\n", "")
    cli.main(["--help"])
    assert "deeplab --version" in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_has_its_flags_alone_and_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = cli.COMMANDS[name]
    assert cli.main([*name.split(), "--help"]) == 0
    output, errors = capsys.readouterr()
    listed = {
        line.split()[0].removeprefix("--").removeprefix("[no]")
        for line in output.splitlines()
        if line.startswith("  --")
    }
    assert listed == set(command.flag_values())
    assert command.example in output
    assert errors == ""


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_example_of_a_command_is_a_good_command_line(name: str) -> None:
    command = cli.COMMANDS[name]
    words = shlex.split(command.example)
    assert words[: 1 + len(name.split())] == ["deeplab", *name.split()]
    command.parse(words[1 + len(name.split()) :])


def test_choices_are_those_of_the_library() -> None:
    assert tuple(train.STRATEGIES) == strategies.STRATEGIES
    assert train.CLUSTERS == list(cluster.CLUSTERS)
    assert export.FORMATS == list(EXPORT_FORMATS)


def test_every_public_name_is_there() -> None:
    assert {"AugmentConfig", "DataConfig", "LossConfig"} < set(deeplab.__all__) < set(dir(deeplab))
    for name in deeplab.__all__:
        assert getattr(deeplab, name) is not None


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys; from deeplab.cli.main import main;"
        "main(['--help']); main(['train', '--help']);"
        "main(['predict', '--help']);"
        "slow = {'tensorflow', 'keras', 'numpy', 'gin', 'rich', 'pooch', 'requests'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_a_saved_model_is_run_without_keras() -> None:
    code = (
        "import os, sys; from deeplab.cli.quiet import import_tensorflow;"
        "import_tensorflow(False, alone=True); import deeplab.runtimes.saved_model;"
        "import deeplab.evaluation.prediction.predict;"
        "assert 'TF_USE_LEGACY_KERAS' not in os.environ;"
        "slow = {'keras', 'tensorflow_datasets', 'rich', 'yaml'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


# Bad command lines: exit code 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "no command"),
        ("trian", "unknown command 'trian'; did you mean 'train'?"),
        ("--model_dir=x", "unknown flag '--model_dir=x'"),
        ("dataset", "'dataset' alone is no command; choices: dataset prepare, dataset check"),
        (
            "dataset prepare --gin_file=x --beam_options='",
            "flag --beam_options=': no closing quotation",
        ),
        (
            'dataset prepare --gin_file=x --beam_options=--runner="DirectRunner',
            'flag --beam_options=--runner="DirectRunner: no closing quotation',
        ),
        ("dataset prepar", "did you mean 'dataset prepare'?"),
        ("train --gin_fil=x", "unknown flag '--gin_fil'; did you mean '--gin_file'?"),
        ("train --gin_file=x --model_dir=y surplus", "unexpected argument 'surplus'"),
        ("train --gin_file=x --model_dir=y --strategy=mirored", "did you mean 'mirrored'?"),
        ("train --gin_file=x --model_dir=y --cluster=slrum", "did you mean 'slurm'?"),
        ("train --gin_file=x --model_dir=y --dry_run=maybe", "--dry_run=maybe: expected true"),
        ("train --gin_file=x --model_dir=y --v=high", "--v=high: expected a whole number"),
        ("train --gin_file=x --model_dir=", "flag --model_dir is empty"),
        ("train --gin_file=x --model_dir", "missing value for flag --model_dir"),
        ("train --gin_file=x", "missing flag --model_dir"),
        ("train", "missing flag --gin_file"),
        ("train --model_dir=there/is/no/run", "missing flag --gin_file: there is no run to resume"),
        ("evaluate", "missing flag --model_dir"),
        ("evaluate --model_dir=x --images=y", "flag --images needs --labels"),
        ("evaluate --model_dir=x --labels=y", "flag --labels needs --images"),
        ("evaluate --model_dir=x --name=y --output_dir=z", "--name does not go with --output_dir"),
        ("evaluate --model_dir=x --classes=y", "flag --classes needs --images"),
        ("evaluate --model_dir=x --timeout=5", "flag --timeout needs --watch"),
        ("evaluate --onnx=x --watch", "flag --watch needs --model_dir"),
        ("evaluate --model_dir=x --group_by=(", "--group_by=(: no regular expression"),
        ("evaluate --model_dir=x --output_stride=12", "choices: 8, 16, 32"),
        ("evaluate --model_dir=x --pad_to=1,2,3", "--pad_to=1,2,3: expected N or H,W"),
        ("evaluate --model_dir=x --eval_scales=1,0", "'0' is not a positive number"),
        ("predict --input=x --output_dir=y", "missing flag --model_dir or --saved_model"),
        ("predict --input=x --output_dir=y --model_dir=a --saved_model=b", "give only one"),
        (
            "predict --input=x --output_dir=y --onnx=a --litert=b",
            "flags --litert and --onnx: give only one",
        ),
        (
            "evaluate --onnx=x --output_dir=y",
            "flag --onnx needs --gin_file or --images",
        ),
        (
            "evaluate --litert=x --images=y --labels=z",
            "flag --litert needs --output_dir",
        ),
        ("export --model_dir=x", "missing flag --export_dir"),
        (
            "export --model_dir=x --export_dir=y --fixed_size=3 --dynamic_size",
            "flag --fixed_size does not go with --dynamic_size",
        ),
        (
            "export --model_dir=x --export_dir=y --format=onyx",
            "did you mean 'onnx'? choices: hugging_face, keras, litert, litert_float16, ",
        ),
    ],
)
def test_a_bad_command_line(
    arguments: str,
    expected: str,
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in refused(*arguments.split(), code=2)


# Bad content: exit code 1


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--gin_file=runs/shape_mobilenet_v2.gin", "did you mean 'runs/shapes_mobilenet_v2.gin'?"),
        ("--gin_bindings=TRAIN_STEP=3", "did you mean 'TRAIN_STEPS'?"),
        ("--gin_bindings=BACKBONE='xcep_65'", "did you mean 'xception_65'?"),
        ("--gin_bindings=BACKBONE=xception_65", "quotes: BACKBONE='xception_65'"),
        ("--gin_bindings=DATASET='shape'", "did you mean 'shapes'?"),
        ("--gin_bindings=OUTPUT_STRIDE='8'", "not '8'"),
        ("--gin_bindings=OUTPUT_STRIDE=12", "not 12"),
        ("--gin_bindings=ModelConfig.decodr=True", "did you mean 'decoder'?"),
    ],
)
def test_a_bad_configuration(flag: str, expected: str, refused: Refused, tmp_path: Path) -> None:
    assert expected in refused("train", RUN, flag, f"--model_dir={tmp_path}/new/run", silent=True)


def test_dry_run_prints_the_configuration_and_creates_nothing(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", RUN, "--gin_bindings=TRAIN_STEPS=61", "--dry_run", "--model_dir=new"]
    assert cli.main(arguments) == 0
    output, errors = capfd.readouterr()
    assert "TRAIN_STEPS = 61" in output
    assert "ModelConfig.decoder_channels = 256" in output
    assert errors == ""
    assert not any(tmp_path.iterdir())


def test_another_keras_backend_is_refused(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert "KERAS_BACKEND=jax" in refused("train", RUN, "--dry_run", silent=True)


def test_channels_first_is_refused(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    assert "channels_first" in refused("train", RUN, "--dry_run", silent=True)


# Failures and signals


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (DeepLabError("mask a.png: bad"), 1, "deeplab: mask a.png: bad\n"),
        (DeepLabError("two\n  lines"), 1, "deeplab: two lines\n"),
        (FileNotFoundError(2, "No such file", "a"), 1, "deeplab: [Errno 2] No such file: 'a'\n"),
        (KeyError("x"), 1, "deeplab: KeyError: 'x' (--v=1 shows the traceback)\n"),
        (UsageError("bad flag"), 2, "deeplab: bad flag\n"),
        (KeyboardInterrupt(), 130, "deeplab: interrupted\n"),
        (Terminated(), 143, "deeplab: terminated\n"),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    expected: str,
    fake_command: Callable[[Callable[[], int]], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    def work() -> int:
        raise error

    fake_command(work)
    assert cli.main(["fake"]) == code
    assert capfd.readouterr().err == expected


def test_only_v_shows_the_traceback(
    fake_command: Callable[[Callable[[], int]], None], capfd: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise DeepLabError("bad")

    fake_command(work)
    assert cli.main(["fake", "--v=1"]) == 1
    errors = capfd.readouterr().err
    assert "Traceback" in errors
    assert errors.endswith("deeplab: bad\n")


def test_sigterm_ends_with_143_and_lets_the_work_clean_up(
    fake_command: Callable[[Callable[[], int]], None],
) -> None:
    saved = []

    def work() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            saved.append(True)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    fake_command(work)
    assert cli.main(["fake"]) == 143
    assert saved == [True]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{shlex.quote(sys.executable)} -m deeplab train --help | true"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1", "utf-8"])
def test_what_the_terminal_cannot_show_ends_no_command(
    encoding: str,
    fake_command: Callable[[Callable[[], int]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = os.fsdecode(b"\xe9.png")  # a file name that is not UTF-8
    terminal = io.TextIOWrapper(io.BytesIO(), encoding)

    def work() -> int:
        print(class_table(["IoU"], [("0", "猫" + "é" * 80, "0.5")]))
        with track("reading", 1, unit="files") as progress:
            progress.message(name)
            progress.advance(notes=("…",))
        return 0

    fake_command(work)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli.main(["fake"]) == 0
    terminal.seek(0)
    text = terminal.read()
    shown = encoding == "utf-8"
    assert "\\udce9.png\n" in text
    assert ("猫" in text) == shown and ("\\u732b" in text) != shown
    assert ("─" in text) == shown and ("---" in text) != shown
    table = text.splitlines()[:3]
    assert max(map(len, table)) <= 80 and table[2].rstrip().endswith("0.5")


# Pieces


def test_stderr_is_held_back_and_shown_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with stderr_held_back():
        os.write(2, b"greetings\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(KeyError), stderr_held_back():
        os.write(2, b"the reason\n")
        raise KeyError
    assert capfd.readouterr().err == "the reason\n"


def test_eval_scales_with_commas_and_repeated() -> None:
    words = ["--input=x", "--output_dir=y", "--eval_scales=0.5,0.75", "--eval_scales=1"]
    values = cli.COMMANDS["predict"].parse(words)
    assert shared_flags.eval_scales(values) == (0.5, 0.75, 1.0)


@pytest.mark.parametrize(("text", "expected"), [("513", (513, 513)), ("361,481", (361, 481))])
def test_size(text: str, expected: tuple[int, int]) -> None:
    values = cli.COMMANDS["evaluate"].parse(["--model_dir=x", f"--pad_to={text}"])
    assert shared_flags.size(values, "pad_to") == expected
