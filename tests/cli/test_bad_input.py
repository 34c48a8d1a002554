"""Bad input through the command line: one line, the exit code, and nothing changed on the disk."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from broken_folders import truncated, written
from command_line import Refused
from source_folders import make_folder, numbered, random_image, random_mask, save

from deeplab.cli.main import main
from deeplab.model_dir import exclusive, list_checkpoints

RUN = "--gin_file=runs/folder_mobilenet_v2.gin"
TINY = [
    f"--gin_bindings={binding}"
    for binding in (
        "CROP_SIZE=33",
        "GLOBAL_BATCH_SIZE=2",
        "TRAIN_STEPS=1",
        "CHECKPOINT_STEPS=1",
        "EVAL_STEPS=0",
        "ModelConfig.depth_multiplier=0.35",
        "ModelConfig.atrous_rates=(2,)",
        "ModelConfig.aspp_channels=8",
        "ModelConfig.decoder_channels=8",
    )
]
SIZES = {"train/a": (24, 32), "train/b": (24, 32), "val/c": (24, 32)}


@pytest.fixture(autouse=True)
def no_default_data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))


# A source folder that cannot be used


def _other_size(source: Path) -> None:
    save(source / "labels/train/b.png", random_mask(32, 24))


def _unknown_ids(source: Path) -> None:
    save(source / "labels/train/b.png", random_mask(24, 32, (0, 7, 9)))


def _only_0_and_255(source: Path) -> None:
    for seed, path in enumerate(sorted(source.glob("labels/*/*.png"))):
        save(path, random_mask(24, 32, (0, 255), seed))


def _color_mask(source: Path) -> None:
    save(source / "labels/val/c.png", random_image(24, 32))


def _lossy_mask(source: Path) -> None:
    path = save(source / "mask.jpg", random_mask(24, 32))
    path.replace(source / "labels/val/c.png")


def _name_that_is_no_text(source: Path) -> None:
    for part in (b"images", b"labels"):
        name = os.path.join(os.fsencode(source), part, b"train", b"\xff.png")
        shutil.copy(os.path.join(os.fsencode(source), part, b"train", b"a.png"), name)


def _no_training_split(source: Path) -> None:
    shutil.rmtree(source / "images/train")
    shutil.rmtree(source / "labels/train")


def _file_instead(source: Path) -> None:
    shutil.rmtree(source)
    source.touch()


def _empty(source: Path) -> None:
    shutil.rmtree(source)
    source.mkdir()


SOURCES = [
    pytest.param(shutil.rmtree, r"the source folder .*source does not exist", id="missing"),
    pytest.param(_empty, r"the source folder .*source is empty", id="empty"),
    pytest.param(_file_instead, r"source is not a folder", id="file"),
    pytest.param(_other_size, r"train/b\.png is 32x24 .*train/b\.png is 24x32", id="size"),
    pytest.param(
        _unknown_ids,
        r"labels/train/b\.png holds the ids 7, 9, but the classes are 0\.\.2.*ignore.*palette",
        id="ids",
    ),
    pytest.param(_only_0_and_255, r"nothing but the ids 0, 255.*save it as 1", id="0-255"),
    pytest.param(_color_mask, r"c\.png is an image in colors \(RGB\).*index mask", id="rgb"),
    pytest.param(_lossy_mask, r"c\.png is JPEG, not PNG", id="jpeg-mask"),
    pytest.param(
        truncated("images/train/a.png"), r"the image .*train/a\.png: .*[Tt]runcated", id="cut-image"
    ),
    pytest.param(
        truncated("labels/train/a.png"), r"the mask .*train/a\.png: .*[Tt]runcated", id="cut-mask"
    ),
    pytest.param(
        written("images/train/a.png", b"hello"),
        r"the image .*train/a\.png: not an image of a known format\n",
        id="no-image",
    ),
    pytest.param(
        written("labels/train/a.png", b"\0"),
        r"the mask .*train/a\.png: not an image of a known format\n",
        id="no-mask",
    ),
    pytest.param(written("classes.json", b"{"), r"classes\.json is not JSON", id="classes"),
    pytest.param(_name_that_is_no_text, r"\\xff\.png' is not UTF-8: rename it", id="file-name"),
]


@pytest.mark.parametrize(("damage", "message"), SOURCES)
@pytest.mark.parametrize("command", ["train", "dataset prepare"])
def test_a_source_that_cannot_be_used(
    command: str, damage: Callable[[Path], None], message: str, refused: Refused, tmp_path: Path
) -> None:
    source = make_folder(tmp_path / "source", SIZES)
    damage(source)
    model_dir = [f"--model_dir={tmp_path}/new/run", *TINY] if command == "train" else []
    data = [f"--source_dir={source}", f"--data_dir={tmp_path}/deep/data"]
    assert re.search(message, refused(*command.split(), RUN, *data, *model_dir))


def test_no_source_at_all(refused: Refused, tmp_path: Path) -> None:
    assert "needs --source_dir" in refused("train", RUN, f"--model_dir={tmp_path}/run")
    camvid = "--gin_file=runs/camvid_mobilenet_v2.gin"
    assert "camvid is not prepared" in refused("train", camvid, f"--model_dir={tmp_path}/run")


@pytest.mark.parametrize(
    ("damage", "binding", "message"),
    [
        (_no_training_split, "SEED=0", "data set 'folder': unknown split 'train'; choices: val"),
        (None, "DataConfig.train_split='tran'", "did you mean 'train'? choices: train, val"),
        (None, "NUM_CLASSES=5", "num_classes is 5, but the data set 'folder' has 3 classes"),
        (None, "SEED=2147483648", "seed must be at most 2147483647"),
    ],
)
def test_what_needs_no_data_is_checked_before_it_is_prepared(
    damage: Callable[[Path], None] | None,
    binding: str,
    message: str,
    refused: Refused,
    tmp_path: Path,
) -> None:
    source = make_folder(tmp_path / "source", SIZES)
    if damage:
        damage(source)
    assert message in refused(
        "train",
        RUN,
        *TINY,
        f"--gin_bindings={binding}",
        f"--source_dir={source}",
        f"--data_dir={tmp_path}/data",
        f"--model_dir={tmp_path}/run",
    )


def test_a_gin_file_without_a_model(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.gin").touch()
    assert "include 'base.gin'" in refused("train", "--gin_file=mine.gin", "--model_dir=run")


# Folders that cannot be written


@pytest.mark.parametrize("folder", ["file", "file/below/it", "/proc/self/x", "gs://bucket/x"])
@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "export"])
def test_an_output_folder_that_cannot_be_written(
    command: str, folder: str, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    flags = {
        "train": [RUN, f"--model_dir={folder}"],
        "evaluate": ["--model_dir=x", f"--output_dir={folder}"],
        "predict": ["--model_dir=x", "--input=y", f"--output_dir={folder}"],
        "export": ["--model_dir=x", f"--export_dir={folder}"],
    }
    assert folder in refused(command, *flags[command])


@pytest.mark.parametrize("command", ["check", "stats"])
def test_an_output_folder_is_tried_before_anything_is_read(
    command: str, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere, says access(); a file system that holds no files says otherwise.
    source = make_folder(tmp_path / "source", SIZES)
    monkeypatch.setattr(os, "access", lambda *_, **__: True)
    monkeypatch.setattr("deeplab.data.checking.check_named", lambda *_, **__: pytest.fail("read"))
    flags = [RUN, f"--source_dir={source}", "--output_dir=/proc"]
    assert "cannot write to the folder /proc: " in refused("dataset", command, *flags)


def test_a_data_dir_that_cannot_be_written(refused: Refused, tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", SIZES)
    flags = [f"--source_dir={source}", f"--data_dir={source}/classes.json/data"]
    assert "classes.json/data: Not a dir" in refused("dataset", "prepare", RUN, *flags)


# A run, and what can be wrong with it


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of one step; its source and prepared data lie beside it."""
    root = tmp_path_factory.mktemp("trained")
    source = make_folder(root / "source", numbered(4, (24, 32)))
    flags = [f"--source_dir={source}", f"--data_dir={root}/data", f"--model_dir={root}/run"]
    assert main(["train", RUN, *TINY, *flags]) == 0
    yield root / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save(tmp_path / "photos/a.png", random_image(20, 30))


def _commands(run: Path, tmp_path: Path) -> dict[str, list[str]]:
    return {
        "evaluate": ["evaluate", f"--model_dir={run}"],
        "predict": [
            "predict",
            f"--model_dir={run}",
            f"--input={tmp_path}/photos",
            f"--output_dir={tmp_path}/masks",
        ],
        "export": ["export", f"--model_dir={run}", f"--export_dir={tmp_path}/export"],
        "train": ["train", f"--model_dir={run}", "--gin_bindings=TRAIN_STEPS=2"],
    }


def _edited(old: str, new: str) -> Callable[[Path], None]:
    def edit(run: Path) -> None:
        text = (run / "model.json").read_text()
        assert old in text
        (run / "model.json").write_text(text.replace(old, new, 1))

    return edit


DATA_FILE = "checkpoints/ckpt-1.data-00000-of-00001"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (written("model.json", b"{"), r"model\.json cannot be read"),
        (_edited("mobilenet_v2", "mobilenet_v9"), r"model\.json: unknown backbone 'mobilenet_v9'"),
        (_edited('"cat",', ""), r"model\.json is damaged: it has 2 class names for 3 classes"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "predict", "export", "train"])
def test_a_damaged_run(
    command: str,
    damage: Callable[[Path], None],
    message: str,
    run: Path,
    photo: Path,
    refused: Refused,
    tmp_path: Path,
) -> None:
    damage(run)
    assert re.search(message, refused(*_commands(run, tmp_path)[command]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated(DATA_FILE), r"cannot read the checkpoint .*ckpt-1: .*less bytes"),
        (lambda run: (run / DATA_FILE).unlink(), r"ckpt-1\.data.*; No such file"),
        (
            truncated("checkpoints/ckpt-1.index"),
            r"cannot read the checkpoint .*ckpt-1: not an sstable",
        ),
        (_edited('"depth_multiplier": 0.35', '"depth_multiplier": 0.5'), "another architecture"),
        (lambda run: shutil.rmtree(run / "checkpoints"), "has no checkpoint yet"),
    ],
)
def test_weights_that_cannot_be_read(
    damage: Callable[[Path], None],
    message: str,
    run: Path,
    photo: Path,
    refused: Refused,
    tmp_path: Path,
) -> None:
    damage(run)
    assert re.search(message, refused(*_commands(run, tmp_path)["predict"]))


@pytest.mark.parametrize("command", ["evaluate", "predict", "export"])
@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("best", "no best checkpoint: this run never evaluated; use --checkpoint=latest"),
        ("newest", "no checkpoint 'newest'; choices: latest, best, or the path of one of ckpt-1"),
    ],
)
def test_a_checkpoint_that_is_not_there(
    command: str, checkpoint: str, message: str, trained: Path, refused: Refused, tmp_path: Path
) -> None:
    save(tmp_path / "photos/a.png", random_image(20, 30))
    line = [*_commands(trained, tmp_path)[command], f"--checkpoint={checkpoint}"]
    assert message in refused(*line)


@pytest.mark.parametrize("command", ["evaluate", "predict", "export"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (None, "is not a model folder: it does not exist"),
        (Path.mkdir, "is not a model folder: it has no model.json"),
        (Path.touch, "is not a model folder: it is a file"),
    ],
)
def test_no_model_folder(
    command: str,
    make: Callable[[Path], None] | None,
    message: str,
    photo: Path,
    refused: Refused,
    tmp_path: Path,
) -> None:
    if make:
        make(tmp_path / "model")
    assert message in refused(*_commands(tmp_path / "model", tmp_path)[command])


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        (
            ["BACKBONE='xception_41'", "ModelConfig.depth_multiplier=1.0"],
            "model.backbone was 'mobilenet_v2', is 'xception_41'",
        ),
        (["OUTPUT_STRIDE=8"], "model.output_stride was 16, is 8"),
        # Refused before the other data set is looked for.
        (["DATASET='camvid'"], "data.dataset was 'folder', is 'camvid'"),
        (["SEDE=1"], "did you mean 'SEED'?"),
    ],
)
def test_a_run_that_is_resumed_as_another(
    bindings: list[str], message: str, run: Path, refused: Refused
) -> None:
    flags = [f"--gin_bindings={binding}" for binding in bindings]
    assert message in refused("train", f"--model_dir={run}", *flags)


def test_the_folder_of_another_trainer(run: Path, refused: Refused) -> None:
    with exclusive(run):
        message = refused("train", f"--model_dir={run}", "--gin_bindings=TRAIN_STEPS=2")
    assert "another process trains in" in message


@pytest.mark.parametrize(
    ("other", "message"),
    [("nowhere", "nowhere is not a model folder"), ("run", "its backbone is mobilenet_v2, this")],
)
def test_initial_weights_that_do_not_fit(
    other: str, message: str, run: Path, refused: Refused, tmp_path: Path
) -> None:
    source = make_folder(tmp_path / "source", SIZES)
    assert message in refused(
        "train",
        RUN,
        "--gin_bindings=BACKBONE='xception_41'",
        f"--init_from={tmp_path}/{other}",
        f"--source_dir={source}",
        f"--data_dir={tmp_path}/data",
        f"--model_dir={tmp_path}/new",
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--images={0}/no", "--labels={0}/photos"], "no folder"),
        (["--images={0}/photos", "--labels={0}/masks"], "has no mask: expected"),
        (["--images={0}/photos", "--labels={0}/other_size"], "they must be equal"),
        (["--images={0}/photos", "--labels={0}/other_ids"], "holds the ids 7"),
        (["--images={0}/photos", "--labels={0}/photos"], "expected an index mask"),
        (["--images={0}/photos", "--labels={0}/binary"], "no object would be measured"),
        (["--name=a/b"], "name 'a/b' must be the name of a folder"),
        (["--gin_file=runs/nothing.gin"], "unknown gin file 'runs/nothing.gin'"),
        (["--split=tset", "--data_dir={0}/new"], "unknown split 'tset'; choices: train, val"),
    ],
)
def test_images_that_cannot_be_measured_on(
    flags: list[str],
    message: str,
    run: Path,
    photo: Path,
    refused: Refused,
    tmp_path: Path,
) -> None:
    (tmp_path / "masks").mkdir()
    save(tmp_path / "other_size/a.png", random_mask(9, 9))
    save(tmp_path / "other_ids/a.png", random_mask(20, 30, (0, 7)))
    save(tmp_path / "binary/a.png", random_mask(20, 30, (0, 255)))
    given = [flag.format(tmp_path) for flag in flags]
    assert message in refused("evaluate", f"--model_dir={run}", *given)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["nothing"], "there is no file or folder"),
        (["empty"], "no images in"),
        (["photos/*.tif"], "no images in"),
        (["photos", "more"], "would both be written as"),
    ],
)
def test_images_that_cannot_be_predicted(
    inputs: list[str], message: str, run: Path, photo: Path, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    save(tmp_path / "more/a.jpg", random_image(9, 9))
    given = [f"--input={tmp_path}/{name}" for name in inputs]
    flags = [f"--model_dir={run}", f"--output_dir={tmp_path}/masks"]
    assert message in refused("predict", *flags, *given)


def test_an_unreadable_image_among_others_is_named_and_passed_over(
    run: Path, photo: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cut = save(tmp_path / "photos/cut.png", random_image(20, 30))
    cut.write_bytes(cut.read_bytes()[:-60])
    assert main(_commands(run, tmp_path)["predict"]) == 1
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and f"cannot read the image {cut}" in errors
    names = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert names == ["a_color.png", "a_index.png", "a_overlay.png"]


def test_an_export_folder_that_exists(run: Path, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    flags = [f"--model_dir={run}", f"--export_dir={tmp_path}/empty"]
    assert "empty exists; --overwrite replaces it" in refused("export", *flags)
    flags = [f"--model_dir={run}", f"--export_dir={run}", "--overwrite"]
    assert "is not an exported model; it is not replaced" in refused("export", *flags)


# Prepared data that is damaged


def _changed(data: bytearray) -> None:
    data[len(data) - 40] ^= 1  # in the last record


def _cut(data: bytearray) -> None:
    del data[-40:]


def _cut_in_a_length(data: bytearray) -> None:
    data += b"abc"


def _emptied(data: bytearray) -> None:
    data.clear()


@pytest.mark.parametrize(
    ("split", "command", "damage", "message"),
    [
        # What opening a split finds is in test_damaged_copies.py, for training too.
        ("train", "train", _changed, r"'train': record number 2 is damaged .*; delete .*/folder/"),
        ("val", "evaluate", _changed, r"'val': record number 0 is damaged .*; delete .*/folder/"),
        ("val", "evaluate", _cut, r"file .*folder-val.* is damaged at byte \d+ of \d+: delete"),
        ("val", "evaluate", _cut_in_a_length, r"file .*folder-val.* is damaged at byte \d+ of"),
        ("val", "evaluate", _emptied, r"'val': 1 records were written, 0 are there; delete .*/fol"),
    ],
)
def test_damaged_records_are_named(
    split: str,
    command: str,
    damage: Callable[[bytearray], None],
    message: str,
    trained: Path,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    data_dir = shutil.copytree(trained.parent / "data", tmp_path / "data")
    (path,) = data_dir.rglob(f"*-{split}.tfrecord*")
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    flags = [f"--data_dir={data_dir}"]
    if command == "train":
        flags.append("--gin_bindings=TRAIN_STEPS=9")
    # Training has begun by then, so its folder may have changed.
    assert main([command, f"--model_dir={run}", *flags]) == 1
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and re.search(message, errors)


def test_a_lost_record_of_the_evaluation_split_stops_training_at_once(
    trained: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data_dir = shutil.copytree(trained.parent / "data", tmp_path / "data")
    (path,) = data_dir.rglob("*-val.tfrecord*")
    path.write_bytes(b"")
    flags = [f"--source_dir={trained.parent}/source", f"--data_dir={data_dir}"]
    flags += [f"--model_dir={tmp_path}/new", "--gin_bindings=EVAL_STEPS=1000"]
    assert main(["train", RUN, *TINY, *flags]) == 1
    assert "split 'val': 1 records were written, 0 are there" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("cache", ["encoded", "decoded"])
def test_damaged_records_are_named_when_they_are_cached(
    cache: str, trained: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data_dir = shutil.copytree(trained.parent / "data", tmp_path / "data")
    (path,) = data_dir.rglob("*-train.tfrecord*")
    data = bytearray(path.read_bytes())
    _changed(data)
    path.write_bytes(data)
    flags = [f"--source_dir={trained.parent}/source", f"--data_dir={data_dir}"]
    flags += [f"--model_dir={tmp_path}/new", f"--gin_bindings=DataConfig.cache='{cache}'"]
    assert main(["train", RUN, *TINY, *flags]) == 1
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and "record number 2 is damaged" in errors
    assert not (tmp_path / "new").exists()


# Real processes


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deeplab", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The tests' own process keeps TensorFlow quiet; the command has to do that by itself.
        env={key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"},
    )


@pytest.mark.slow
def test_a_process_says_one_line(trained: Path, tmp_path: Path) -> None:
    source = make_folder(tmp_path / "source", SIZES)
    save(source / "labels/val/c.png", np.zeros((24, 32, 4), np.uint8))
    data = f"--data_dir={tmp_path}/data"
    for arguments in (
        ["train", RUN, *TINY, f"--source_dir={source}", data, f"--model_dir={tmp_path}/run"],
        ["export", f"--model_dir={trained}", f"--export_dir={tmp_path}"],
        ["train", f"--model_dir={trained}", "--deterministic"],
        ["train", RUN, "--gin_bindings=BACKBONE='x'", "--dry_run"],
    ):
        process = _start(*arguments)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 1
        assert output == "" or "--dry_run" not in arguments
        assert errors.startswith("deeplab: ") and errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_leaves_a_run_that_can_be_resumed(
    number: signal.Signals,
    code: int,
    word: str,
    trained: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    folders = [f"--source_dir={trained.parent}/source", f"--data_dir={trained.parent}/data"]
    long = "--gin_bindings=TRAIN_STEPS=100000"
    process = _start("train", RUN, *TINY, long, *folders, f"--model_dir={run}")
    try:
        while not list_checkpoints(run / "checkpoints"):
            assert process.poll() is None
            time.sleep(0.1)
        # Nobody else may train in the folder meanwhile.
        assert main(["train", RUN, *TINY, long, f"--model_dir={run}"]) == 1
        assert "another process trains in" in capfd.readouterr().err
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (code, f"deeplab: {word}\n")
    step = list_checkpoints(run / "checkpoints")[-1].step
    assert f"stopped at step {step}; the same command resumes" in output
    assert main(["train", f"--model_dir={run}", f"--gin_bindings=TRAIN_STEPS={step + 1}"]) == 0
    assert f"resuming from step {step}\n" in capfd.readouterr().out
